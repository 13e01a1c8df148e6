# SPDX-License-Identifier: Apache-2.0
"""Requests since a time, from a proxy's access log: read from its end, and only as far as needed."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..common.times import iso, proxy_epoch
from ..machine import logs
from ..machine.command import LINE_BYTES
from .types import ProxyEvidence

BLOCK = 1024 * 1024
BYTES_READ = 256 * BLOCK
SECONDS = 30.0
# Lines are written as requests end, by several processes: only nearly in the order of their times.
DISORDER_SECONDS = 5.0
REQUESTS_NAMED = 10
KINDS_COUNTED = 10_000
PATTERNS = (
    # The api_proxy role's own format; nginx's "combined". The query of a request may hold secrets.
    r'^\{"time":"(?P<time>[^"]{1,40})","status":"(?P<status>\d+)","request":"(?P<request>[^"?]*)',
    r'^\S+ \S+ [^\[]{0,300}\[(?P<time>[^\]]{1,40})\] "(?P<request>[A-Z]+ [^ "?]*)[^"]*" (?P<status>\d{3}) ',
)


def backwards(path: Path, limit: int) -> Iterator[str]:
    """A file's lines, newest first; of more than ``limit`` bytes only those that begin in the last ``limit``.

    A line is cut at 64 KiB.
    """
    with path.open("rb") as file:
        end = file.seek(0, 2)
        start, rest = max(0, end - limit), b""
        while end > start:
            size = min(BLOCK, end - start)
            end -= size
            file.seek(end)
            rest, *lines = (file.read(size) + rest).split(b"\n")
            yield from (decoded_line(line) for line in reversed(lines) if line)
            # Its beginning is what counts, and may still come.
            rest = rest[:LINE_BYTES]
        if rest and not start:
            yield decoded_line(rest)


def decoded_line(line: bytes) -> str:
    return line[:LINE_BYTES].decode(errors="replace")


class AccessLog:
    """The requests of a log and of the one rotated before it; ``reach`` says from when on they are all there,
    ``unread`` why not further back. ``began`` is when requests were first logged there, where that is known.
    """

    def __init__(
        self,
        path: str,
        since: float,
        pattern: str | None = None,
        limit: int = BYTES_READ,
        *,
        began: float | None = None,
    ) -> None:
        self.path, self.since, self.limit = Path(path), since, limit
        self.patterns = [re.compile(text) for text in ([pattern] if pattern else PATTERNS)]
        self.deadline = time.monotonic() + SECONDS
        self.by_status: Counter[str] = Counter()
        self.by_request: Counter[str] = Counter()
        self.last: float | None = None
        self.oldest: float | None = None
        self.lines = 0
        self.reached = False
        self.late = False
        self.unread = self.read()
        if not self.unread and not self.reached and (began or 0.0) > since:
            written = iso(began or 0.0, "seconds")
            self.unread = f"the site was written at {written}, requests before may have been logged elsewhere"
            self.oldest = began
        self.reach = self.reached_back()

    def parsed(self, line: str) -> tuple[float, re.Match[str]] | None:
        self.lines += 1
        for pattern in self.patterns:
            match = pattern.search(line)
            when = proxy_epoch(match["time"] or "") if match else None
            if match and when is not None:
                self.patterns = [pattern]
                return when, match
        return None

    def count(self, path: Path) -> bool:
        """Count a file's requests since the time; True when it has older ones, so that none is missing."""
        for line in backwards(path, self.limit):
            if self.lines % 1000 == 0 and time.monotonic() > self.deadline:
                self.late = True
                return False
            found = self.parsed(line)
            if not found:
                continue
            when, match = found
            self.last, self.oldest = max(when, self.last or when), when
            if when < self.since - DISORDER_SECONDS:
                return True
            if when >= self.since:
                self.add(self.by_status, match["status"] or "")
                self.add(self.by_request, match.groupdict().get("request") or "")
        return False

    def add(self, counter: Counter[str], key: str) -> None:
        """Count a kind of request; of too many kinds only those that came first."""
        key = key[:200]
        if key in counter or len(counter) < KINDS_COUNTED:
            counter[key] += 1

    def read(self) -> str | None:
        """Read as far back as needed; what is missing, as a sentence."""
        rotated = self.path.with_name(f"{self.path.name}.1")
        present = [path for path in (self.path, rotated) if path.exists()]
        if not present:
            remedy = "provision.yml configures it, diagnosis_access_log names another"
            return f"the access log {self.path} is not there; {remedy}"
        for path in present:
            self.reached = self.count(path)
            if self.reached:
                return None
            if self.late:
                return f"{path} was not read further than {SECONDS:g} s allow{self.back()}"
            if path.stat().st_size > self.limit:
                return f"of {path} only the newest {self.limit // BLOCK} MiB were read{self.back()}"
        if self.lines and self.oldest is None:
            remedy = "access_log_pattern describes another (groups time and status)"
            return f"no line of {self.path} is in a known format; {remedy}"
        if any(path.name != rotated.name for path in self.path.parent.glob(f"{self.path.name}.[0-9]*")):
            return f"older requests than those of {self.path} and {rotated.name} were not read{self.back()}"
        return None

    def back(self) -> str:
        return f": back to {iso(self.oldest, 'seconds')}" if self.oldest else ""

    def reached_back(self) -> logs.Reach:
        begins = self.oldest if self.unread else self.since
        return logs.Reach(begins, time.time(), begins is not None, self.unread or "")

    def result(self) -> ProxyEvidence:
        return {
            "read": self.oldest is not None or (self.lines == 0 and self.path.exists()),
            "path": str(self.path),
            "requests": sum(self.by_status.values()),
            "by_status": dict(self.by_status),
            "by_request": {name: n for name, n in self.by_request.most_common(REQUESTS_NAMED) if name},
            "last": self.last,
            "reach": self.reach.result(),
        }
