"""docs/checks.md tells every check of a verification, and of every situation what the confusion matrix holds it to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.matrix import BY_KEY, EXCLUSIVE, FOREIGN, SHARED, SITUATIONS, Situation

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/checks.md").read_text()
ROWS = {
    cells[0]: cells
    for line in TEXT.splitlines()
    if len(cells := [cell.replace("`", "").strip() for cell in line.strip("|").split("|")]) == 6
}
# What a verdict has to be proven in; the situations of the suite by the name that each has in the requirement.
LISTED = {
    "clean": ["clean"],
    "equal foreign": ["plain", "same"],
    "foreign on the same host": ["same"],
    "three foreign": ["three"],
    "full": ["full"],
    "over the threshold": ["loaded"],
    "slow (2.9 s)": ["slow"],
    "rejecting": ["reject", "pass"],
    "reconnecting": ["reconnect"],
    "draining": ["drain"],
    "other deployment label": ["label"],
    "other job type": ["type"],
    "pool of two": ["pool"],
    "old release draining": ["old"],
    "name in code": ["code"],
    "wrong key": ["key"],
    "wrong URL": ["url"],
    "API with the other name": ["api"],
    "SIP rule": ["node"],
    "edited but only restarted": ["restart"],
    "worker without the hook": ["bare", "bare-plain"],
    "worker started through the hook package": ["launched"],
    "two LiveKit nodes": ["node", "other-node"],
}
# A stranger of these kinds may be missed where only probes decide; of no other.
MAY_BE_MISSED = {"full", "slow", "pass", "reconnect", "drain", "label", "type"}
EVERY = pytest.mark.parametrize("situation", SITUATIONS, ids=[situation.key for situation in SITUATIONS])


@pytest.mark.parametrize("listed", LISTED)
def test_listed_situation_is_in_the_suite(listed: str) -> None:
    assert set(LISTED[listed]) <= set(BY_KEY)


def test_no_situation_of_the_suite_is_unlisted() -> None:
    assert {key for keys in LISTED.values() for key in keys} == set(BY_KEY)


@EVERY
def test_table_has_the_verdicts_and_the_cause_of_the_suite(situation: Situation) -> None:
    row = ROWS[situation.title]
    assert (row[1], row[2], row[5]) == (situation.without, situation.evidence, situation.cause)


def test_table_has_no_other_situation() -> None:
    assert set(ROWS) - {"situation", "-" * 3} == {situation.title for situation in SITUATIONS}


@EVERY
def test_only_who_no_probe_can_see_may_be_missed(situation: Situation) -> None:
    """A good verdict in spite of a stranger: allowed for some, said in ``not_seen``, never with the server's log."""
    good = {EXCLUSIVE, SHARED} & set(situation.without.split(" or "))
    assert not (situation.stranger and good) or (situation.key in MAY_BE_MISSED and situation.unseen)
    assert not situation.stranger or situation.evidence == FOREIGN


@EVERY
def test_nobody_is_called_foreign_where_nobody_is(situation: Situation) -> None:
    assert situation.stranger or FOREIGN not in f"{situation.without} {situation.evidence}"


def test_table_says_when_its_seconds_were_measured() -> None:
    assert re.search(r"measured on \d{4}-\d{2}-\d{2}", TEXT)


def test_every_check_of_a_verification_is_told() -> None:
    from ansible.module_utils.livekit_deploy.proof.judge import judge

    report = judge({"a": {"agent_name": "n"}}, {})["report"]["a"]
    told = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    assert {check["name"] for check in report["checks"]} <= told


def test_every_verdict_is_told() -> None:
    from ansible.module_utils.livekit_deploy.proof import verdicts

    known = {verdicts.EXCLUSIVE, verdicts.SHARED, verdicts.FOREIGN, verdicts.INCONCLUSIVE, verdicts.UNREACHABLE}
    assert known <= set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
