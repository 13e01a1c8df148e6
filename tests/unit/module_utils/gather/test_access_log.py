"""An access log is read from its end, as far back as needed, and says what it does not show."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import times
from ansible.module_utils.livekit_deploy.gather import access_log
from ansible.module_utils.livekit_deploy.gather.access_log import AccessLog

NOW = 1795389125.0  # 2026-11-22T23:12:05Z


def iso(seconds: float) -> str:
    return times.iso(seconds, "seconds")


def ours(seconds: float, status: int = 200, request: str = "POST /v1/preview") -> str:
    """A line as the api_proxy role's site writes it."""
    return (
        f'{{"time":"{iso(NOW + seconds)}","status":"{status}","request":"{request}","seconds":"0.010",'
        '"upstream":"127.0.0.1:18101","upstream_status":"200","client":"10.0.0.1"}'
    )


COMBINED = (
    '10.0.0.1 - - [22/Nov/2026:23:12:{:02} +0000] "POST /v1/preview?token=hidden HTTP/1.1" {} 2 "-" "curl/8.14 [x]"'
)
CADDY = '{{"level":"info","ts":{:.3f},"request":{{"method":"POST"}},"status":{}}}'
CADDY_PATTERN = r'"ts":(?P<time>[\d.]+),.*"status":(?P<status>\d+)'


def log(folder: Path, lines: list[str], name: str = "a.log") -> Path:
    path = folder / name
    path.write_text("".join(line + "\n" for line in lines))
    return path


def counted(path: Path, since: float = NOW, **options: Any) -> dict[str, int]:
    return dict(AccessLog(str(path), since, **options).by_status)


@pytest.mark.parametrize(
    ("lines", "pattern", "expected"),
    [
        pytest.param([ours(-60), ours(0), ours(1, 502), ours(2)], None, {"200": 2, "502": 1}, id="ours"),
        pytest.param([COMBINED.format(3, 200), COMBINED.format(6, 404)], None, {"404": 1}, id="combined"),
        pytest.param(
            [CADDY.format(NOW - 9, 200), CADDY.format(NOW + 1.5, 500)], CADDY_PATTERN, {"500": 1}, id="by a pattern"
        ),
        pytest.param([ours(1), "half a li"], None, {"200": 1}, id="a line that is just being written"),
        pytest.param([ours(2, request='GET /"odd\\"'), "", ours(1)], None, {"200": 2}, id="an odd request"),
        pytest.param([], None, {}, id="empty"),
    ],
)
def test_requests_since_a_time_are_counted_by_status(
    tmp_path: Path, lines: list[str], pattern: str | None, expected: dict[str, int]
) -> None:
    assert counted(log(tmp_path, lines), pattern=pattern) == expected


def test_most_frequent_requests_are_named_without_their_query(tmp_path: Path) -> None:
    path = log(tmp_path, [COMBINED.format(6, 200), ours(7, request="GET /healthz"), COMBINED.format(8, 200)])
    assert AccessLog(str(path), NOW).result()["by_request"] == {"POST /v1/preview": 2}  # one format a file
    assert "hidden" not in str(AccessLog(str(path), NOW).result())


def test_line_a_little_out_of_order_hides_none_before_it(tmp_path: Path) -> None:
    assert counted(log(tmp_path, [ours(-60), ours(1), ours(-1), ours(2)])) == {"200": 2}


def test_newest_request_is_known_also_when_it_is_older(tmp_path: Path) -> None:
    found = AccessLog(str(log(tmp_path, [ours(-600), ours(-300)])), NOW).result()
    assert (found["requests"], found["last"], found["read"]) == (0, NOW - 300, True)


def test_rotated_log_is_read_when_the_new_one_begins_too_late(tmp_path: Path) -> None:
    log(tmp_path, [ours(-60), ours(1, 404)], "a.log.1")
    assert counted(log(tmp_path, [ours(2)])) == {"200": 1, "404": 1}


def test_rotated_log_is_left_alone_when_the_new_one_reaches_back(tmp_path: Path) -> None:
    log(tmp_path, ["nonsense"], "a.log.1")
    found = AccessLog(str(log(tmp_path, [ours(-60), ours(2)])), NOW)
    assert (found.lines, found.reached) == (2, True)


def test_blocks_of_a_long_file_lose_and_double_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"line {n} {'x' * (n % 7)}" for n in range(1000)]
    monkeypatch.setattr(access_log, "BLOCK", 64)
    assert list(access_log.backwards(log(tmp_path, lines), 10**6)) == lines[::-1]


def test_only_the_end_of_a_longer_file_is_read_and_no_line_in_half(tmp_path: Path) -> None:
    lines = [f"line {n:04}" for n in range(1000)]
    assert list(access_log.backwards(log(tmp_path, lines), 25)) == ["line 0999", "line 0998"]


@pytest.mark.parametrize(
    ("lines", "others", "said"),
    [
        pytest.param([ours(-60), ours(1)], ["a.log.2.gz"], None, id="reaches back"),
        pytest.param([ours(1)], [], None, id="nothing was rotated away"),
        pytest.param([ours(1)], ["a.log.2.gz"], "older requests than those of", id="older ones are packed"),
        pytest.param([ours(1)], ["a.log.1.gz"], "older requests than those of", id="packed at once"),
        pytest.param(["what is this"], [], "is in a known format", id="another format"),
    ],
)
def test_log_says_what_it_does_not_show(tmp_path: Path, lines: list[str], others: list[str], said: str | None) -> None:
    path = log(tmp_path, lines)
    for name in others:
        (tmp_path / name).touch()
    found = AccessLog(str(path), NOW)
    assert (said or "None") in str(found.unread)
    assert found.result()["read"] == ("what" not in lines[0])


def test_log_that_is_not_there_is_no_log_without_requests(tmp_path: Path) -> None:
    found = AccessLog(str(tmp_path / "none.log"), NOW)
    assert "is not there" in str(found.unread)
    assert found.result()["read"] is False


def test_log_of_more_than_the_limit_says_how_far_back_it_was_read(tmp_path: Path) -> None:
    path = log(tmp_path, [ours(n) for n in range(1, 100)])
    found = AccessLog(str(path), NOW, limit=1000)
    assert str(found.unread).endswith(iso(NOW + 100 - found.lines))
    assert 0 < found.lines < 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T23:12:05+00:00", NOW),
        ("22/Nov/2026:23:12:05 +0000", NOW),
        ("1795389125.25", NOW + 0.25),
        ("yesterday", None),
        ("nan", None),
        ("", None),
    ],
)
def test_time_is_read_as_proxies_write_it(text: str, expected: float | None) -> None:
    assert times.proxy_epoch(text) == expected


def test_large_log_is_not_read_from_its_start(tmp_path: Path) -> None:
    path = log(tmp_path, [])
    with path.open("ab") as file:
        os.truncate(file.fileno(), 10**9)  # a hole: it would be read as a line of 1 GB
        file.seek(0, 2)
        file.write(f"\n{ours(-60)}\n{ours(1)}\n".encode())
    assert counted(path) == {"200": 1}
