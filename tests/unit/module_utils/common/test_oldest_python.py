"""A host with too old a Python is told so in words, by whatever module is first: nothing else of ours runs before."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
GUARD = ROOT / "module_utils/livekit_deploy/__init__.py"


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 9, 18)])
def test_python_that_is_too_old_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], version: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", (*version, "final", 0))
    with pytest.raises(SystemExit):
        exec(compile(GUARD.read_text(), str(GUARD), "exec"), {})  # noqa: S102  as ansible-core imports it first
    answer = json.loads(capsys.readouterr().out)
    assert answer["failed"]
    assert answer["msg"].startswith(
        f"found: Python {version[0]}.{version[1]} at {sys.executable}, expected 3.10 or newer. Install"
    )
    assert "ansible_python_interpreter" in answer["msg"]


def test_python_that_is_new_enough_is_taken() -> None:
    exec(compile(GUARD.read_text(), str(GUARD), "exec"), {})  # noqa: S102


def test_refusal_itself_is_written_for_an_old_python() -> None:
    tree = ast.parse(GUARD.read_text(), feature_version=(3, 4))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    assert {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names} == {
        "json",
        "sys",
    }
