# SPDX-License-Identifier: Apache-2.0
"""The table of causes as data: what every row has."""

from __future__ import annotations

import string
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common.commands import Playbooks
from ansible.module_utils.livekit_deploy.diagnosis import decide
from ansible.module_utils.livekit_deploy.diagnosis.causes import CAUSES, TITLES, Cause
from ansible.module_utils.livekit_deploy.diagnosis.finding import Holds
from ansible.module_utils.livekit_deploy.diagnosis.world import World

TEXTS = ("title", "remedy", "test", "rollback")
each_cause = pytest.mark.parametrize("cause", CAUSES, ids=[cause.id for cause in CAUSES])


def test_no_two_causes_have_one_id_or_one_title() -> None:
    assert len({cause.id for cause in CAUSES}) == len(set(TITLES.values())) == len(CAUSES)


@each_cause
def test_each_cause_says_what_to_do_how_to_test_it_and_how_to_take_it_back(cause: Cause) -> None:
    assert [text for text in TEXTS if not getattr(cause, text).strip()] == []


@each_cause
def test_a_host_of_which_nothing_is_known_fills_every_text(cause: Cause) -> None:
    (host,) = World({"one": {}}).agent_hosts
    told: dict[str, Any] = dict(decide.cause_found(cause, Holds(["seen"]), host, Playbooks()))
    assert [text for text in TEXTS if not told[text].strip() or "{" in told[text]] == []


@each_cause
def test_texts_name_only_what_is_filled_in(cause: Cause) -> None:
    (host,) = World({"one": {}}).agent_hosts
    fields = {name for text in TEXTS for _, name, _, _ in string.Formatter().parse(getattr(cause, text)) if name}
    assert fields - decide.facts(host, Playbooks()).keys() == set()


def test_a_text_without_its_value_is_found() -> None:
    with pytest.raises(KeyError):
        "{unheard_of}".format_map({})
