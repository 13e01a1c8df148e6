"""What keeps a run independent of the controller it starts from; the last part shows that each search can fail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.test_repository import FILES, ROOT, named

# Jinja's now() is naive, in UTC as in local time: its timestamp() is wrong by the zone's offset.
# lookup('livekit_run', 'now') is right.
NAIVE = re.compile(r"\bnow\s*\(|\bansible_date_time\b|\.timestamp\s*\(\s*\)")
TEMPLATED = [path for path in FILES if path.suffix in (".yml", ".yaml", ".j2")]


def naive(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if NAIVE.search(line)]


@pytest.mark.parametrize("path", TEMPLATED, ids=named(TEMPLATED))
def test_no_template_reads_a_clock_without_a_zone(path: Path) -> None:
    assert naive(path.read_text()) == []


# --- modules that work on the controller -----------------------------------------------------------------------------

LIBRARY = {path.stem for path in (ROOT / "library").glob("*.py")}
RUNNER = ROOT / "action_plugins/on_controller.py"
TASKS = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/*.yml")]


def tasks_of(tree: Any, local: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each task, and whether it is of the controller: delegated to it, or of a play of localhost."""
    for entry in tree or []:
        here = local or entry.get("delegate_to") == "localhost" or entry.get("hosts") == "localhost"
        yield entry, here
        for part in ("tasks", "pre_tasks", "block", "rescue", "always"):
            yield from tasks_of(entry.get(part), here)


def delegated() -> set[str]:
    found = (task for path in TASKS for task in tasks_of(yaml.safe_load(path.read_text())))
    return {name for task, here in found if here for name in LIBRARY & task.keys()}


def test_every_module_of_the_controller_is_run_by_the_one_that_knows_how() -> None:
    links = {path.stem: path.resolve() for path in (ROOT / "action_plugins").glob("*.py") if path != RUNNER}
    assert set(links) == delegated()
    assert set(links.values()) == {RUNNER}


def test_no_module_of_the_controller_is_used_on_a_host() -> None:
    found = (task for path in TASKS for task in tasks_of(yaml.safe_load(path.read_text())))
    assert [task["name"] for task, here in found if not here and delegated() & task.keys()] == []


# --- from any directory, with no setting of ours ---------------------------------------------------------------------

BESIDE = ("roles", "library", "module_utils", "filter_plugins", "lookup_plugins", "action_plugins")
PLAYBOOKS = [ROOT / "deploy.yml", *sorted((ROOT / "playbooks").glob("*.yml"))]


@pytest.mark.parametrize("name", BESIDE)
def test_what_a_playbook_needs_is_beside_it(name: str) -> None:
    """ansible.cfg is read from the working directory only; test_inputs.py starts each playbook from another one."""
    assert (ROOT / "playbooks" / name).resolve() == ROOT / name


@pytest.mark.parametrize("path", PLAYBOOKS, ids=named(PLAYBOOKS))
def test_no_play_gathers_facts_whatever_the_user_s_settings_are(path: Path) -> None:
    plays = [play for play in yaml.safe_load(path.read_text()) if "hosts" in play]
    assert [play["name"] for play in plays if play.get("gather_facts") is not False] == []


# --- each search can fail --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "a: '{{ now(utc=true).timestamp() }}'",
        "a: '{{ now() }}'",
        "a: '{{ x.timestamp() }}'",
        "a: '{{ ansible_date_time.epoch }}'",
    ],
)
def test_a_clock_without_a_zone_is_found(line: str) -> None:
    assert naive(f"- name: A\n  {line}\n") == [line]


def test_the_filter_is_accepted() -> None:
    assert naive("a: \"{{ lookup('livekit_run', 'now') }}\"\nknown(1)\n") == []
