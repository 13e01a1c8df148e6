"""The gate file: only the word closed closes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from livekit_deploy_hook import Gate, GateFile


@pytest.mark.parametrize(
    ("content", "gate"),
    [
        (b"closed", Gate.CLOSED),
        (b" closed\r\n", Gate.CLOSED),
        (b"open", Gate.OPEN),
        (b"open\n", Gate.OPEN),
        (b"", Gate.OPEN),
        (b"CLOSED", Gate.OPEN),
        (b"closed now", Gate.OPEN),
        (b"\xff\xfe", Gate.OPEN),
        (b"closed" + b"x" * 10_000, Gate.OPEN),
    ],
)
def test_the_content_decides(tmp_path: Path, content: bytes, gate: Gate) -> None:
    file = tmp_path / "state"
    file.write_bytes(content)
    assert GateFile(file).read() is gate


def test_no_file_is_open_and_not_worth_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert GateFile(tmp_path / "missing").read() is Gate.OPEN
    assert caplog.records == []


def test_an_unreadable_file_is_open_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert GateFile(tmp_path).read() is Gate.OPEN  # a directory: unreadable for root, too
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_strange_content_is_warned_about_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "state"
    file.write_text("ajar")
    gate = GateFile(file)
    assert [gate.read() for _ in range(3)] == [Gate.OPEN] * 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_replaced_file_counts_at_the_next_reading(tmp_path: Path) -> None:
    file, new = tmp_path / "state", tmp_path / "state.new"
    file.write_text("closed\n")
    gate = GateFile(file)
    assert gate.read() is Gate.CLOSED
    new.write_text("open\n")
    new.replace(file)
    assert gate.read() is Gate.OPEN
