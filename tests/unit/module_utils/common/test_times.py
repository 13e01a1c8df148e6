"""Times as others write them, read alike by every Python of a supported host."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import times

NEW_YEAR = 1_767_225_600.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-01T00:00:00Z", NEW_YEAR),
        ("2026-01-01T00:00:00.123456789Z", NEW_YEAR + 0.123456),
        ("2026-01-01T00:00:00+00:00", NEW_YEAR),
        ("2026-01-01T02:00:00.5+0200", NEW_YEAR + 0.5),
        ("2026-01-01 00:00:00", NEW_YEAR),
        ("2026-01-01", NEW_YEAR),
        ("12:00", None),
        ("yesterday", None),
        (None, None),
        (5, None),
    ],
)
def test_time_is_read_in_every_way_it_is_written(text: Any, seconds: float | None) -> None:
    assert times.epoch(text) == seconds


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000+00:00"),
        ("2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.123456+00:00"),
        ("2026-01-01T00:00:00,5-0130", "2026-01-01T00:00:00.500000-01:30"),
        ("2026-01-01 00:00:00", "2026-01-01 00:00:00.000000"),
        ("yesterday", "yesterday"),
    ],
)
def test_time_is_written_as_python_3_10_reads_it(text: str, plain: str) -> None:
    assert times.oldest_iso(text) == plain


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "2026-01-01T00:00:00.987+00:00"),
        (("seconds",), "2026-01-01T00:00:00+00:00"),
        (("milliseconds", "Z"), "2026-01-01T00:00:00.987Z"),
    ],
)
def test_time_is_written_as_a_log_has_it(arguments: tuple[str, ...], text: str) -> None:
    assert times.iso(NEW_YEAR + 0.9876, *arguments) == text


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (times.TO_THE_SECOND, "2026-01-01T00:00:59Z"),
        (times.COMPACT, "20260101T000059Z"),
        (times.TO_THE_MINUTE, "2026-01-01 00:00 UTC"),
    ],
)
def test_time_is_written_in_every_form(form: str, text: str) -> None:
    assert times.stamp(NEW_YEAR + 59.9, form) == text
