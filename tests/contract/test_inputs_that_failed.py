"""The table of inputs that failed once names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"m/": "unit/module_utils/", "u/": "unit/"}
NAMED = re.compile(r"`(?P<file>(?:u|m|e2e|full|bench|contract)/[\w/.]+\.py)?(?:::(?P<test>\w+))?`")


def rows(text: str) -> dict[int, str]:
    return {int(found[1]): found[2] for found in re.finditer(r"^\| (\d+) \| .* \| (.*) \|$", text, re.MULTILINE)}


TABLE = rows((ROOT / "tests/README.md").read_text())


def missing(cell: str) -> list[str]:
    """What a cell names and is not there; a name without a file is of the file before it."""
    lost, path = [], ROOT
    for found in NAMED.finditer(cell):
        if given := found["file"]:
            path = (
                ROOT
                / "tests"
                / next(
                    (given.replace(start, long, 1) for start, long in SHORT.items() if given.startswith(start)), given
                )
            )
        there = path.is_file() and (not found["test"] or f"def {found['test']}(" in path.read_text())
        lost += [] if there else [found[0]]
    return lost


def test_every_input_has_a_row() -> None:
    assert list(TABLE) == list(range(1, 45))


@pytest.mark.parametrize("number", TABLE)
def test_every_test_of_a_row_is_there(number: int) -> None:
    assert NAMED.search(TABLE[number])
    assert missing(TABLE[number]) == []


@pytest.mark.parametrize(
    "cell",
    ["`m/test_nothing.py`", "`m/machine/test_web.py::test_nothing`", "`m/machine/test_web.py`, `::test_nothing`"],
)
def test_a_test_that_is_not_there_is_found(cell: str) -> None:
    assert len(missing(cell)) == 1
