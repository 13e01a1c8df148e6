"""Requests since a time, from a proxy's access log: read from its end, and only as far as needed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.module_utils.livekit_deploy.times import epoch

BLOCK = 1024 * 1024
BYTES_READ = 64 * BLOCK
# Lines are written as requests end, by several processes: only nearly in the order of their times.
DISORDER_SECONDS = 5.0
REQUESTS_NAMED = 10
PATTERNS = (
    # The api_proxy role's own format; nginx's "combined". The query of a request may hold secrets.
    r'^\{"time":"(?P<time>[^"]+)","status":"(?P<status>\d+)","request":"(?P<request>[^"?]*)',
    r'^\S+ \S+ .*?\[(?P<time>[^\]]+)\] "(?P<request>[A-Z]+ [^ "?]*)[^"]*" (?P<status>\d{3}) ',
)


def backwards(path: Path, limit: int) -> Iterator[str]:
    """A file's lines, newest first; of more than ``limit`` bytes only those that begin in the last ``limit``."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        start, rest = max(0, end - limit), b""
        while end > start:
            size = min(BLOCK, end - start)
            end -= size
            file.seek(end)
            rest, *lines = (file.read(size) + rest).split(b"\n")
            yield from (line.decode(errors="replace") for line in reversed(lines) if line)
        if rest and not start:
            yield rest.decode(errors="replace")


def moment(text: str) -> float | None:
    """Seconds since the epoch of a time as proxies write it: ISO 8601, common log format, or the number itself."""
    found = epoch(text)
    if found is not None:
        return found
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp()
    except ValueError:
        return None


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


class AccessLog:
    """The requests of a log and of the one rotated before it; ``unread`` is why they may not be all, or are not known."""

    def __init__(self, path: str, since: float, pattern: str | None = None, limit: int = BYTES_READ) -> None:
        self.path, self.since, self.limit = Path(path), since, limit
        self.patterns = [re.compile(text) for text in ([pattern] if pattern else PATTERNS)]
        self.by_status: Counter[str] = Counter()
        self.by_request: Counter[str] = Counter()
        self.last: float | None = None
        self.oldest: float | None = None
        self.lines = 0
        self.reached = False
        self.unread = self.read()

    def parsed(self, line: str) -> tuple[float, re.Match[str]] | None:
        self.lines += 1
        for pattern in self.patterns:
            match = pattern.search(line)
            when = moment(match["time"]) if match else None
            if match and when is not None:
                self.patterns = [pattern]
                return when, match
        return None

    def count(self, path: Path) -> bool:
        """Count a file's requests since the time; True when it has older ones, so that none is missing."""
        for line in backwards(path, self.limit):
            found = self.parsed(line)
            if not found:
                continue
            when, match = found
            self.last, self.oldest = max(when, self.last or when), when
            if when < self.since - DISORDER_SECONDS:
                return True
            if when >= self.since:
                self.by_status[match["status"]] += 1
                self.by_request[match.groupdict().get("request") or ""] += 1
        return False

    def read(self) -> str | None:
        """Read as far back as needed; what is missing, as a sentence."""
        rotated = self.path.with_name(f"{self.path.name}.1")
        present = [path for path in (self.path, rotated) if path.exists()]
        if not present:
            return f"the access log {self.path} is not there; provision.yml configures it, diagnosis_access_log names another"
        for path in present:
            self.reached = self.count(path)
            if self.reached:
                return None
            if path.stat().st_size > self.limit:
                return f"of {path} only the newest {self.limit // BLOCK} MiB were read{self.back()}"
        if self.lines and self.oldest is None:
            return f"no line of {self.path} is in a known format; access_log_pattern describes another (groups time and status)"
        if any(path.name != rotated.name for path in self.path.parent.glob(f"{self.path.name}.[0-9]*")):
            return f"older requests than those of {self.path} and {rotated.name} were not read{self.back()}"
        return None

    def back(self) -> str:
        return f": back to {iso(self.oldest)}" if self.oldest else ""

    def result(self) -> dict[str, Any]:
        return {
            "read": self.oldest is not None or (self.lines == 0 and self.path.exists()),
            "path": str(self.path),
            "requests": sum(self.by_status.values()),
            "by_status": dict(self.by_status),
            "by_request": {name: n for name, n in self.by_request.most_common(REQUESTS_NAMED) if name},
            "last": self.last,
        }
