"""Which known name somebody meant."""

from __future__ import annotations

import pytest
from ansible.module_utils.livekit_deploy.inventory.near_names import nearest, slips

KNOWN = ("dry_run", "force_release", "livekit_agent_name", "agent_release_drain_wait_seconds", "new_app", "rollback_to")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("dryrun", "dry_run"),
        ("dry-run", "dry_run"),
        ("dry_rnu", "dry_run"),
        ("force_realese", "force_release"),
        ("forse_relase", "force_release"),
        ("livekit_agent_nmae", "livekit_agent_name"),
        ("agent_relase_drain_wiat_second", "agent_release_drain_wait_seconds"),
        ("roll_back_to", "rollback_to"),
        ("rollback", "rollback_to"),
    ],
)
def test_a_slip_is_seen(written: str, meant: str) -> None:
    assert nearest(written, KNOWN) == meant


@pytest.mark.parametrize(
    "written",
    [
        "run",
        "my_dry_run",
        "dry_run_2",
        "my_dry_run_of_it",
        "release",
        "livekit_agent_pool",
        "vault_livekit_agent_name",
        "app",
        "",
        "new_map",
    ],
)
def test_another_name_is_none(written: str) -> None:
    assert nearest(written, KNOWN) == ""


@pytest.mark.parametrize(
    ("one", "other", "count"), [("ab", "ab", 0), ("ab", "ba", 1), ("abc", "abd", 1), ("abc", "ac", 1), ("", "ab", 2)]
)
def test_slips_are_counted(one: str, other: str, count: int) -> None:
    assert slips(one, other, 3) == count


def test_more_slips_than_wanted_are_not_counted() -> None:
    assert slips("abcdefgh", "stuvwxyz", 2) == 3
