# SPDX-License-Identifier: Apache-2.0
"""Logs of containers, units and files: read once, line by line, in constant memory.

Each reading says from when to when it reaches.

A log may be longer than can be read: then its newest part is read. It may have lost its beginning: to rotation, or
because what writes it is new. Such a reading rules nothing out that may have happened before.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, Protocol, TypedDict, TypeVar

from ..common import times
from ..common.files import open_regular
from . import command, docker

# One log at most; a longer one, or one that is read too slowly, is read again from nearer to its end.
SECONDS = 30.0
BYTES = command.LOG_BYTES
JOURNAL_LINES = 500_000
ATTEMPTS = 3
FEWER = 4
LEAST = 1000
# What starts logs its first words within so many seconds; a log that begins later has lost its beginning.
FIRST_WORDS_SECONDS = 60.0

# Before a line: what Docker puts there, or a unit's journal (see ``journal_lines``).
DOCKERS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
JOURNALS = re.compile(r"@\d{1,12}\.\d{1,9}")
OF_JOURNAL = re.compile(r"(?P<time>\d{1,12}\.\d{1,9}) \S+ \S+?: (?P<text>.*)", re.DOTALL)
# What systemd's journal puts in place of lines that it dropped.
DROPPED = re.compile(r"Suppressed \d+ messages from \S+")


class ReachFacts(TypedDict):
    """A ``Reach`` as JSON."""

    begins: float | None
    ends: float | None
    whole: bool
    why: str


class Reach(NamedTuple):
    """From when to when a reading reaches, in seconds since the epoch; ``whole`` if nothing between is missing, ``why``
    says what is.
    """

    begins: float | None = None
    ends: float | None = None
    whole: bool = False
    why: str = ""

    def covers(self, moment: float) -> bool:
        """True if nothing since a moment is missing."""
        return self.whole and self.begins is not None and self.begins <= moment

    def result(self) -> ReachFacts:
        return {"begins": self.begins, "ends": self.ends, "whole": self.whole, "why": self.why}


class Log:
    """The lines of a log, read once. ``began`` is when what writes it began.

    Known when it was read: ``older`` says why its oldest lines are left out, ``cut`` why its newest are missing,
    ``unread`` why nothing of it could be read.
    """

    def __init__(self, lines: Iterable[str] = (), unread: str = "", *, began: float | None = None) -> None:
        self.lines, self.unread, self.began = lines, unread, began
        self.older = self.cut = ""
        self.dropped = False
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        for line in self.read():
            self.count += 1
            yield line

    def read(self) -> Iterable[str]:
        return self.lines

    def shorter(self) -> Log | None:
        """The same log again, from nearer to its end; None where it cannot be read so."""
        return None

    def reach(self, first: float | None, now: float, from_start: bool = False) -> Reach:
        """From the time of the first line that has one to now, or from the beginning of what writes the log.

        ``from_start`` if that line is the first that its program ever writes.
        """
        if self.unread:
            return Reach(why=self.unread)
        if self.cut:
            return Reach(first, None, False, f"its newest lines were not read: {self.cut}")
        if self.dropped:
            return Reach(
                first, now, False, "the journal dropped lines of it (see LogRateLimitIntervalSec in systemd.exec)"
            )
        if not self.count and self.began is not None and not self.older:
            return Reach(self.began, now, True)
        if first is None:
            return Reach(None, now, False, "none of its lines has a time")
        if self.older:
            return Reach(first, now, True, self.older)
        if self.began is None:
            return Reach(first, now, True)
        if self.is_from_beginning(first, from_start):
            return Reach(self.began, now, True)
        return Reach(first, now, True, "older lines are gone, or were written elsewhere")

    def is_from_beginning(self, first: float, from_start: bool) -> bool:
        began = self.began or 0.0
        return first <= began + FIRST_WORDS_SECONDS or (from_start and first >= began)


class Fold(Protocol):
    """Takes a log line by line."""

    def take(self, line: str) -> None: ...


F = TypeVar("F", bound=Fold)


def folded(log: Log, make: Callable[[], F]) -> tuple[F, Log]:
    """Return what ``make`` made and was given each line, with the log that was read: where it is too long, its newest
    part.
    """
    for _ in range(ATTEMPTS):
        fold = make()
        for line in log:
            fold.take(line)
        shorter = log.shorter() if log.cut else None
        if shorter is None:
            return fold, log
        last, log = log, shorter
    return fold, last


# --- times of lines ---


def stamped(line: str) -> tuple[str, str]:
    """The time that Docker or the journal put before a line, and the rest; "" where there is none."""
    stamp, space, text = line.partition(" ")
    return (stamp, text) if space and (DOCKERS.fullmatch(stamp) or JOURNALS.fullmatch(stamp)) else ("", line)


def stamp_epoch(stamp: str) -> float | None:
    """Return seconds since the epoch of such a time; None where there is none."""
    return float(stamp[1:]) if stamp.startswith("@") else times.epoch(stamp)


# --- where logs are ---


class ContainerLog(Log):
    """A container's log, whole or the newest lines, each after its time; EngineError where Docker cannot read it."""

    def __init__(
        self, run: command.Reader, container: str, began: float | None = None, tail: int | None = None
    ) -> None:
        super().__init__(began=began)
        self.run, self.container, self.tail = run, container, tail

    def read(self) -> Iterator[str]:
        lines = docker.Lines(self.run, self.container, self.tail, timestamps=True, seconds=SECONDS)
        yield from lines
        self.cut = lines.cut
        if self.tail is not None:
            self.older = f"only its newest {self.tail} lines were read"

    def shorter(self) -> Log:
        return ContainerLog(self.run, self.container, self.began, max(LEAST, self.count // FEWER))


class FileLog(Log):
    """The newest bytes of a file, or of two, for standard output and error; from the first line that begins there."""

    def __init__(self, paths: Iterable[Path], began: float | None = None, size: int = BYTES) -> None:
        super().__init__(began=began)
        self.paths, self.size = list(paths), size

    def read(self) -> Iterator[str]:
        deadline = time.monotonic() + SECONDS
        try:
            for path in self.paths:
                with open_regular(path) as file:
                    start = max(0, file.seek(0, os.SEEK_END) - self.size)
                    if start:
                        self.older = f"only its newest {shown_size(self.size)} were read"
                    yield from command.split(self.blocks(file, start, deadline))
        except OSError as error:
            self.unread = f"it cannot be read: {error.strerror}"

    def blocks(self, file: IO[bytes], start: int, deadline: float) -> Iterator[bytes]:
        # From the byte before, so that a line that begins there is whole.
        file.seek(max(0, start - 1))
        skipping = start > 0
        left = self.size + 1  # what is written meanwhile may have no end
        while left > 0 and (block := file.read(min(left, command.BLOCK))):
            left -= len(block)
            if time.monotonic() > deadline:
                self.cut = "its deadline passed"
                return
            if skipping:
                _, newline, block = block.partition(b"\n")
                skipping = not newline
            yield block

    def shorter(self) -> FileLog:
        return FileLog(self.paths, self.began, max(1, self.size // FEWER))


def shown_size(size: int) -> str:
    return f"{size // command.MIB} MiB" if size >= command.MIB else f"{size} bytes"


class JournalLog(Log):
    """The newest lines of one run of a unit in the journal, each after its time."""

    def __init__(
        self, run: command.Reader, unit: str, invocation: str, began: float | None = None, tail: int = JOURNAL_LINES
    ) -> None:
        super().__init__(began=began)
        self.run, self.unit, self.invocation, self.tail = run, unit, invocation, tail

    def read(self) -> Iterator[str]:
        # Also what the journal says of lines that it dropped.
        matches = [f"_SYSTEMD_INVOCATION_ID={self.invocation}", "+", f"OBJECT_SYSTEMD_INVOCATION_ID={self.invocation}"]
        argv = ["journalctl", "--output=short-unix", "--quiet", "--no-pager", "--all", f"--lines={self.tail}", *matches]
        output = self.run.lines(argv, SECONDS, BYTES)
        for line in output:
            found = OF_JOURNAL.match(line)
            text = found["text"] if found else line.strip()
            self.dropped = self.dropped or bool(DROPPED.fullmatch(text))
            yield f"@{found['time']} {text}" if found else text
        self.cut = output.cut
        if not self.count or (output.status and not output.cut):
            self.unread = f"the journal of {self.unit} has nothing of its present run {output.last[-200:]}".strip()
        if self.count >= self.tail:
            self.older = f"only its newest {self.tail} lines were read"

    def shorter(self) -> Log:
        return JournalLog(self.run, self.unit, self.invocation, self.began, tail=max(LEAST, self.count // FEWER))
