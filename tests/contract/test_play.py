"""The one reader of a run's variables knows them by the names under which roles register them, and nobody else does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.livekit_deploy.play import run

from tests.contract.imports import HOME, ROOT

TASKS = sorted(ROOT.glob("roles/*/tasks/*.yml"))
PLUGINS = [
    path
    for folder in ("filter_plugins", "lookup_plugins", "callback_plugins")
    for path in sorted((ROOT / folder).glob("*.py"))
]
OTHERS = [path for path in [*sorted(HOME.rglob("*.py")), *PLUGINS] if path != HOME / "play/run.py"]
# Names of Python's and ansible-core's own.
FOREIGN = {"__main__", "__adhoc_playbook__"}


def entries(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every task, also those of blocks."""
    for one in node or []:
        yield one
        for key in ("block", "rescue", "always"):
            yield from entries(one.get(key))


ALL = [task for path in TASKS for task in entries(yaml.safe_load(path.read_text()))]
REGISTERED = {task["register"] for task in ALL if "register" in task}
LOOPED = {task["loop_control"]["loop_var"] for task in ALL if "loop_control" in task}
SET = {name for task in ALL for name in task.get("ansible.builtin.set_fact") or {}}


def private(text: str) -> set[str]:
    strings = [
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return {value for value in strings if value.startswith("__") and value.strip("_").isidentifier()} - FOREIGN


@pytest.mark.parametrize("name", run.REGISTERED)
def test_a_name_that_is_read_is_registered_by_a_task(name: str) -> None:
    assert name in REGISTERED


@pytest.mark.parametrize("name", run.KEPT)
def test_a_name_that_is_read_is_set_by_a_task(name: str) -> None:
    assert name in SET


@pytest.mark.parametrize("name", run.ELSEWHERE)
def test_a_loop_over_hosts_has_its_name(name: str) -> None:
    assert name in LOOPED


def test_every_name_that_the_reader_has_is_in_one_of_its_lists() -> None:
    assert private((HOME / "play/run.py").read_text()) == {*run.REGISTERED, *run.KEPT, *run.ELSEWHERE}


@pytest.mark.parametrize("path", OTHERS, ids=[str(path.relative_to(ROOT)) for path in OTHERS])
def test_nobody_else_knows_a_name_of_a_roles_own(path: Path) -> None:
    assert private(path.read_text()) == set()


# --- the searches can fail -------------------------------------------------------------------------------------------


def test_a_name_of_a_roles_own_is_found() -> None:
    assert private('def f(v):\n    return v["__verification_read"]') == {"__verification_read"}


def test_tasks_in_blocks_are_found() -> None:
    found = list(entries([{"block": [{"register": "__a"}], "rescue": [{"register": "__b"}]}]))
    assert {task.get("register") for task in found} == {None, "__a", "__b"}
