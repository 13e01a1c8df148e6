"""What keeps a run independent of the controller it starts from; the last part shows that each search can fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.test_repository import FILES, named

# Jinja's now() is naive, in UTC as in local time: its timestamp() is wrong by the zone's offset. The filter livekit_now is right.
NAIVE = re.compile(r"\bnow\s*\(|\bansible_date_time\b|\.timestamp\s*\(\s*\)")
TEMPLATED = [path for path in FILES if path.suffix in (".yml", ".yaml", ".j2")]


def naive(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if NAIVE.search(line)]


@pytest.mark.parametrize("path", TEMPLATED, ids=named(TEMPLATED))
def test_no_template_reads_a_clock_without_a_zone(path: Path) -> None:
    assert naive(path.read_text()) == []


# --- each search can fail --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["a: '{{ now(utc=true).timestamp() }}'", "a: '{{ now() }}'", "a: '{{ x.timestamp() }}'", "a: '{{ ansible_date_time.epoch }}'"]
)
def test_a_clock_without_a_zone_is_found(line: str) -> None:
    assert naive(f"- name: A\n  {line}\n") == [line]


def test_the_filter_is_accepted() -> None:
    assert naive("a: \"{{ '' | livekit_now }}\"\nknown(1)\n") == []
