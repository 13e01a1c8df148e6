"""Commands that users are told to type are made in one place, and no task leaves its arguments in a file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CODE = [
    path
    for folder in ("module_utils", "library", "filter_plugins", "lookup_plugins", "callback_plugins")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
TASKS = [
    path
    for pattern in ("roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "playbooks/*.yml")
    for path in sorted(ROOT.glob(pattern))
]
# A command with a value in it that is not quoted: the part of an f-string before a field.
BY_HAND = re.compile(
    r"(ansible-playbook|docker (start|stop|kill|logs|update|rm)|systemctl( --user)? \w+|journalctl|kill -\w+)( -\S+)* $"
)


def written_by_hand(text: str) -> Iterator[str]:
    """Commands in a module that are put together of a text and a value."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            for part, following in zip(node.values, [*node.values[1:], None], strict=True):
                if (
                    isinstance(part, ast.Constant)
                    and isinstance(following, ast.FormattedValue)
                    and BY_HAND.search(str(part.value))
                ):
                    yield str(part.value)


def asynchronous(text: str) -> bool:
    return re.search(r"(?m)^\s*async: ", text) is not None


@pytest.mark.parametrize("path", CODE, ids=[path.stem for path in CODE])
def test_command_is_not_put_together_by_hand(path: Path) -> None:
    assert list(written_by_hand(path.read_text())) == []


@pytest.mark.parametrize("path", CODE, ids=[path.stem for path in CODE])
def test_playbook_is_started_by_the_commands_of_one_module(path: Path) -> None:
    strings = [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [text for text in strings if re.search(r"ansible-playbook \S*\w+\.yml", text)] == []


@pytest.mark.parametrize("path", TASKS, ids=[str(path.relative_to(ROOT)) for path in TASKS])
def test_no_task_runs_in_the_background(path: Path) -> None:
    """ansible-core writes the arguments of one, secrets too, into a file that a killed run leaves."""
    assert not asynchronous(path.read_text())
    assert isinstance(yaml.safe_load(path.read_text()), list)


# --- the searches can fail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ['f"on it: docker start {name}"', 'f"systemctl --user start {unit}"', 'f"kill -TERM {pid}"']
)
def test_command_by_hand_is_found(text: str) -> None:
    assert len(list(written_by_hand(text))) == 1


def test_task_in_the_background_is_found() -> None:
    assert asynchronous("- name: x\n  module:\n  async: 60\n")
