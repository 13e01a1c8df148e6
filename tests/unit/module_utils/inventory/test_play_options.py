"""What is given with -e: the type of each option, and the playbooks that know it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory import play_options

SWITCHES = ["dry_run", "force_release", "remove_prove"]
NUMBERS = ["deploy_lock_wait_seconds", "remove_wait_seconds"]
TEXTS = [
    "rollback_to",
    "remove_host",
    "evict_worker",
    "evict_name",
    "new_host",
    "new_address",
    "new_user",
    "new_agent_name",
    "new_app",
]


def each(names: list[str], words: str, *values: Any) -> list[tuple[str, Any, str]]:
    return [(name, value, words) for name in names for value in values]


REFUSED = [
    *each(SWITCHES, "expected true or false", "y", "t", "enabled", "", None, 2, "tru"),
    *each(NUMBERS, "expected a whole number from 0 on", "10s", -1, "-1", "nan", "inf", True, None),
    *each(TEXTS, "expected a text", "", " ", None, 12, ["a"], "a\x1b[2J"),
    *each(["new_port"], "expected a whole number from 1 to 65535", 0, "65536", "22s", ""),
    *each(["deploy_batches"], "expected numbers of hosts", 0, "", "1,2", [1, "0%"], "101%", True, -1, 1.5),
    *each(["deploy_on_batch_failure"], "expected keep or rollback", "Keep", None),
    *each(["diagnose_send"], "expected true, share or false", "all", "", 1),
    *each(["diagnose_since"], "expected minutes back", "yesterday", "-5", "nan", "inf", "2999-01-01T00:00:00Z", []),
]
ACCEPTED = [
    *each(SWITCHES, "", "true", "NO", True, "1", 0),
    *each(NUMBERS, "", 0, "600"),
    *each(["rollback_to"], "", "previous"),
    *each(["new_port"], "", "2222"),
    *each(["deploy_batches"], "", 1, "50%", [1, "50%"], []),
    *each(["deploy_on_batch_failure"], "", "rollback"),
    *each(["diagnose_send"], "", True, "false", "share", "False"),
    *each(["diagnose_since"], "", "30", 30, "2026-01-02T03:00:00Z", ""),
]


def problems(variables: dict[str, Any], playbook: str = "", given: bool = True) -> list[str]:
    return play_options.option_problems(
        {"a": variables, "b": variables}, ["a", "b"], variables if given else [], playbook
    )


@pytest.mark.parametrize(("name", "value", "words"), REFUSED)
def test_a_wrong_value_is_refused(name: str, value: Any, words: str) -> None:
    (found,) = problems({name: value})
    assert found.startswith(f"{name} (given with -e) is ")
    assert words in found


@pytest.mark.parametrize(("name", "value", "_"), ACCEPTED)
def test_a_right_value_is_accepted(name: str, value: Any, _: str) -> None:
    assert problems({name: value}) == []


def test_the_found_value_is_shown() -> None:
    assert problems({"dry_run": "y"}) == ["dry_run (given with -e) is 'y', expected true or false. Correct it"]


def test_a_value_of_the_inventory_is_told_for_each_host() -> None:
    found = problems({"dry_run": "y"}, given=False)
    assert found == [f"{host}: dry_run is 'y', expected true or false. Correct it" for host in "ab"]


@pytest.mark.parametrize(
    ("name", "playbook"),
    [
        *[("dry_run", playbook) for playbook in ("provision", "evict", "new_host")],
        *[("rollback_to", playbook) for playbook in ("deploy", "verify", "remove")],
        *[("remove_host", playbook) for playbook in ("deploy", "evict")],
        *[("evict_worker", playbook) for playbook in ("deploy", "remove")],
        ("force_release", "rollback"),
        ("diagnose_since", "status"),
        ("diagnose_send", "verify"),
    ],
)
def test_an_option_of_another_playbook_is_refused(name: str, playbook: str) -> None:
    value = "true" if name in (*SWITCHES, "diagnose_send") else "30"
    (found,) = problems({name: value}, playbook)
    assert found.startswith(f"{name} (given with -e) is nothing that {playbook}.yml knows, expected it with ")


@pytest.mark.parametrize("playbook", sorted(play_options.PLAYBOOKS))
def test_settings_of_a_run_may_be_given_to_every_playbook(playbook: str) -> None:
    assert problems({"deploy_lock_wait_seconds": 600, "deploy_batches": [1], "remove_prove": True}, playbook) == []


@pytest.mark.parametrize(
    ("name", "playbook"),
    [
        *[("dry_run", one) for one in ("deploy", "rollback", "remove", "verify", "status", "diagnose")],
        ("force_release", "deploy"),
    ],
)
def test_a_switch_is_accepted_where_it_holds(name: str, playbook: str) -> None:
    assert problems({name: "true"}, playbook) == []


def test_a_word_without_a_value_is_refused() -> None:
    (found,) = problems({"_raw_params": "dry_run"})
    assert found.startswith("-e has a word without a value, expected name=value")


class Undefined(dict[str, Any]):
    def __getitem__(self, name: str) -> Any:
        raise ValueError("s3cret is undefined")


def test_a_value_that_fails_to_template_is_a_sentence_without_it() -> None:
    hostvars = {"a": Undefined(dry_run=0)}
    assert play_options.option_problems(hostvars, ["a"], ["dry_run"], "deploy") == [
        "dry_run (given with -e) cannot be read (ValueError), expected a value. Correct the expression"
    ]
