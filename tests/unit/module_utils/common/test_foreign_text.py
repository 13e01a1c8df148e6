# SPDX-License-Identifier: Apache-2.0
"""Parsers of others' text and what hypothesis thinks of: no exception but those they name, bounded time and memory."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import text, times
from ansible.module_utils.livekit_deploy.fleet import remembered
from ansible.module_utils.livekit_deploy.gather import access_log, api_log, server_log
from ansible.module_utils.livekit_deploy.inventory import new_host
from ansible.module_utils.livekit_deploy.livekit import errors, preview_request, probe
from ansible.module_utils.livekit_deploy.machine import (
    certificate,
    cgroups,
    command,
    command_lines,
    image_archive,
    logs,
    nginx,
    processes,
    sockets,
)
from ansible.module_utils.livekit_deploy.proof import server_evidence
from ansible.module_utils.livekit_deploy.release import history
from ansible.module_utils.livekit_deploy.release.content import env_values
from ansible.module_utils.livekit_deploy.worker import (
    log_events,
    log_words,
    own_answer,
    readings,
    registration,
    worker_log,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# The same examples each time: what fails here fails everywhere.
FIXED = settings(
    derandomize=True, max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
SECONDS = 5.0

# Half of it is close to what the parsers look for, so that they get further than the first character.
WORDS = (
    *log_words.WORDS,
    *server_log.CLOSED,
    *(
        server_log.STARTING,
        server_log.REGISTERED,
        "dispatch_created",
        "dispatch_failed",
        "Traceback (most recent call last):",
    ),
    *(
        "message",
        "msg",
        "event",
        "level",
        "levelname",
        "severity",
        "timestamp",
        "time",
        "ts",
        "record",
        "extra",
        "error",
        "exc_info",
    ),
    *(
        "id",
        "agent_name",
        "agentName",
        "job_id",
        "room",
        "workerID",
        "agentName",
        "ERROR",
        "INFO",
        "error",
        "AW_1",
        "livekit.agents",
    ),
    *(
        "2026-11-27T20:01:00.123456789Z",
        "2026-11-27 20:01:00,123",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "@1.5",
    ),
)
word = st.sampled_from(WORDS)
scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | word
value = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(word | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
event = st.dictionaries(word, value, max_size=8)
parts = st.lists(
    st.sampled_from([" ", "\t", ":", "{", "}", "[", "]", '"', "=", "\\", "\x1b[31m", "\x00", "\ud800"])
    | word
    | st.text(max_size=10)
)
garbage = parts.map("".join)
json_line = st.builds(
    lambda before, found: before + json.dumps(found), st.sampled_from(["", "a | ", "2026-11-27T20:01:00Z "]), event
)
line = garbage | json_line | st.text(max_size=200)
lines = st.lists(line, max_size=12)
table = st.lists(
    st.lists(
        st.sampled_from(["0A", "0100007F:1F91", "x", "77", ":", "0", "F" * 32 + ":1F91"]) | st.text(max_size=5),
        max_size=12,
    )
)


def read_worker(given_lines: list[str]) -> None:
    found = worker_log.log_reading(given_lines, ["x"], {"r"}, 1.0)
    json.dumps(found)
    worker: Any = {**found, "running": True, "restarts": 0, "exit_code": None}
    registration.registration_trouble([worker], "a")
    log_words.telling(given_lines, 3)


def read_server(given_lines: list[str]) -> None:
    found = server_log.read_registrations(given_lines, 1.8e9)
    json.dumps(found)
    given: Any = {**found, "host": "h"}
    server_evidence.name_evidence([given], "a")
    server_log.unsettled(found, ["a"], [])


def read_api(given_lines: list[str]) -> None:
    for pattern in (None, r"(?P<agent_name>\w+)"):
        fold, log = logs.folded(
            logs.Log(given_lines),
            lambda wanted=pattern: api_log.Dispatches(1.0, wanted),  # type: ignore[misc]
        )
        json.dumps({**fold.result(), "reach": log.reach(fold.first, 2.0).result()})


def read_access(given_lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.log"
        path.write_text("\n".join(given_lines), encoding="utf-8", errors="replace")
        json.dumps(access_log.AccessLog(str(path), 1.0).result())


def read_history(given_lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        path.write_text("\n".join(given_lines), encoding="utf-8", errors="replace")
        assert all(isinstance(entry, dict) for entry in history.history_entries(path))


READERS: dict[str, Callable[[list[str]], None]] = {
    "worker's log": read_worker,
    "server's log": read_server,
    "API's log": read_api,
    "access log": read_access,
    "history": read_history,
}


@pytest.mark.parametrize("reader", READERS)
@given(given_lines=lines)
@FIXED
def test_log_is_read_whatever_it_says(reader: str, given_lines: list[str]) -> None:
    started = time.process_time()
    READERS[reader](given_lines)
    assert time.process_time() - started < SECONDS


def with_host(given_text: str) -> str:
    return new_host.inserted(given_text, "agent_hosts", "new", {"ansible_host": "10.0.0.1"})


def reached_addresses(given_text: str) -> list[tuple[str, int]]:
    return [sockets.reached_at(*one.local.split(":")) for one in sockets.table_sockets(f"heading\n{given_text}")]


PARSERS: dict[str, tuple[Callable[[str], Any], tuple[type[Exception], ...]]] = {
    "JSON": (lambda given_text: text.parsed_object(given_text), ()),
    "escapes": (text.plain, ()),
    "secrets": (text.Masker(["secret-word", "another\nsecret"]), ()),
    "time": (times.epoch, ()),
    "time of a line": (
        lambda given_text: (times.line_epoch(given_text), logs.stamp_epoch(logs.stamped(given_text)[0])),
        (),
    ),
    "time of a request": (times.proxy_epoch, ()),
    "line as text": (lambda given_text: log_events.of_text(given_text, log_words.WORDS), ()),
    "line in a message": (log_events.short, ()),
    "control groups": (lambda given_text: (cgroups.cgroup_path(given_text), cgroups.memory_events(given_text)), ()),
    "container of a control group": (cgroups.cgroup_container, ()),
    "unit of a control group": (cgroups.cgroup_unit, ()),
    "address": (reached_addresses, ()),
    "command line": (lambda given_text: command_lines.shown_argv(given_text.split(" ")), ()),
    "listeners": (lambda given_text: list(sockets.listeners(sockets.table_sockets("heading\n" + given_text))), ()),
    "Twirp error": (errors.twirp_error, ()),
    "room in a token": (preview_request.room_name, (errors.LiveKitError,)),
    "object": (probe.json_object, ()),
    "verdicts": (remembered.remembered_verdicts, ()),
    "openssl": (certificate.parsed_certificate, (ValueError,)),
    "nginx": (nginx.nginx_remedy, ()),
    "environment file": (env_values, ()),
    "inventory": (with_host, (new_host.EntryError,)),
}


@pytest.mark.parametrize("parser", PARSERS)
@given(
    given_text=line
    | json_line
    | st.lists(line, max_size=5).map("\n".join)
    | table.map(lambda rows: "\n".join(map(" ".join, rows)))
)
@FIXED
def test_text_is_parsed_whatever_it_says(parser: str, given_text: str) -> None:
    parse, documented = PARSERS[parser]
    started = time.process_time()
    with suppress(*documented):
        parse(given_text)
    assert time.process_time() - started < SECONDS


@given(body=st.binary(max_size=300) | event.map(lambda found: json.dumps(found).encode()))
@FIXED
def test_answer_of_a_worker_is_read_whatever_it_says(body: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_answer.web, "ask", lambda *_: own_answer.web.Answer(200, body))
        answer = own_answer.ask_worker(("127.0.0.1", 8081))
    json.dumps(readings.shared_reading(logs.Log(), answer, {}, readings.Selection()))


@given(
    stat=st.binary(max_size=80),
    cgroup=st.binary(max_size=80),
    environ=st.binary(max_size=80),
    argv=st.binary(min_size=1, max_size=80),
)
@FIXED
def test_process_table_is_read_whatever_is_in_it(stat: bytes, cgroup: bytes, environ: bytes, argv: bytes) -> None:
    whole = b"7 (x) " + b" ".join(b"1" for _ in range(30))
    with tempfile.TemporaryDirectory() as folder:
        for number, first in (("7", stat), ("8", whole)):
            entry = Path(folder) / number
            entry.mkdir()
            for name, data in (("stat", first), ("cgroup", cgroup), ("environ", environ), ("cmdline", argv)):
                (entry / name).write_bytes(data)
        found = processes.read_table(Path(folder))
    assert 8 in found.processes or not argv.rstrip(b"\0")
    processes.candidates(found)


@given(blocks=st.lists(st.binary(max_size=200)))
@FIXED
def test_output_is_split_into_lines_and_nothing_else(blocks: list[bytes]) -> None:
    expected = b"".join(blocks).decode(errors="replace").split("\n")
    found = list(command.split(iter(blocks)))
    assert found == [one.rstrip("\r") for one in (expected[:-1] if expected[-1] == "" else expected)]


documents = event | st.lists(event, max_size=2)
content = st.binary(max_size=60) | documents.map(lambda found: json.dumps(found).encode())
member = st.tuples(
    st.sampled_from(["manifest.json", "index.json", "oci-layout", "blobs/sha256/a"]) | st.text(max_size=10), content
)


@given(members=st.lists(member, max_size=5))
@FIXED
def test_archive_of_an_image_is_read_or_refused_as_one(members: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.tar"
        with tarfile.open(path, "w") as archive:
            for name, data in members:
                info = tarfile.TarInfo(name.encode(errors="replace").decode() or "x")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        with suppress(image_archive.ArchiveError):
            image_archive.read_archive(path, "app:1")


@given(data=st.binary(max_size=600))
@FIXED
def test_archive_that_is_none_is_refused_in_words(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.tar"
        path.write_bytes(data)
        with pytest.raises(image_archive.ArchiveError, match="expected"):
            image_archive.read_archive(path, "app:1")


# --- long and deep text, in bounded time ------------------------------------------------------------------------------

LONG: dict[str, str] = {
    "brackets": "[" * 60_000,
    "braces": '{"a":' * 12_000,
    "quotes": '"\\' * 30_000,
    "spaces": " " * 60_000,
    "letters": "a" * 60_000,
    "dots": "a." * 30_000,
    "colons": "a:" * 30_000,
    "equals": "id=" * 20_000,
    "escapes": "\x1b[" * 30_000,
    "paths": "/" * 60_000,
    "a request of brackets": '1.1.1.1 - - [x] "get /' + "[" * 50_000,
    "a token": "eyJ" + "a" * 50_000 + ".",
    "an address": "postgres://" + "a:" * 25_000,
    "numbers": "9" * 60_000,
}


@pytest.mark.parametrize("long", LONG)
@pytest.mark.parametrize("parser", PARSERS)
def test_long_text_is_parsed_in_bounded_time(parser: str, long: str) -> None:
    parse, documented = PARSERS[parser]
    started = time.process_time()
    with suppress(*documented):
        parse(LONG[long])
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("long", LONG)
@pytest.mark.parametrize("reader", READERS)
def test_log_of_long_lines_is_read_in_bounded_time(reader: str, long: str) -> None:
    started = time.process_time()
    READERS[reader]([LONG[long]] * 5)
    assert time.process_time() - started < SECONDS
