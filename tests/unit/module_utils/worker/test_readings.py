"""Readings of a host's workers, and why one is not registered."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import docker, logs, web
from ansible.module_utils.livekit_deploy.machine.command import Reader
from ansible.module_utils.livekit_deploy.worker import own_answer, readings, registration, search

from tests.unit.module_utils.machine.test_web import saying, server
from tests.unit.module_utils.standin import Told

REGISTERED = json.dumps({"message": "registered worker", "id": "AW_1", "agent_name": "a", "timestamp": "t"})


def container(service: str = "agent-worker", env: Sequence[str] = (), running: bool = True) -> dict[str, Any]:
    return {
        "Id": "0123456789abcdef",
        "Name": "/app-1",
        "State": {"Running": running, "ExitCode": 0, "StartedAt": "then"},
        "Config": {
            "Image": "i",
            "Env": list(env),
            "Labels": {docker.SERVICE_LABEL: service, docker.PROJECT_LABEL: "p"},
        },
        "NetworkSettings": {"Networks": {}},
    }


def engine_with(log: str) -> Reader:
    return Told(lambda argv: (0, log, "") if argv[1] == "logs" else (1, "", "unexpected"))


def test_reading_joins_environment_and_log() -> None:
    env = ["AGENT_NAME=a", "LIVEKIT_AGENT_NAME=a", "LIVEKIT_DEPLOY_INSTANCE=host-1/id1"]
    found: Any = readings.readings(engine_with(REGISTERED), found=[container(env=env)])["workers"][0]
    expected = {
        "worker_id": "AW_1",
        "release": "id1",
        "env": {"AGENT_NAME": "a", "LIVEKIT_AGENT_NAME": "a"},
        "connected": True,
    }
    assert {key: found[key] for key in expected} == expected


def test_ended_container_is_not_connected_whatever_its_log_says() -> None:
    assert (
        readings.readings(engine_with(REGISTERED), found=[container(running=False)])["workers"][0]["connected"] is False
    )


@pytest.mark.parametrize(
    ("found", "log", "expected"),
    [
        pytest.param(container(), "", 1, id="the compose service, whatever it says"),
        pytest.param(container("agent", ["LIVEKIT_AGENT_NAME=x"]), REGISTERED, 1, id="somebody else's that registered"),
        pytest.param(container("api", ["LIVEKIT_AGENT_NAME=x"]), "INFO: Uvicorn running", 0, id="somebody else's API"),
        pytest.param(
            container("fastapi", ["LIVEKIT_AGENT_NAME=x", "LIVEKIT_DEPLOY_INSTANCE=h/i"]), "", 0, id="our API"
        ),
        pytest.param(container("web"), REGISTERED, 0, id="a container without an agent name"),
    ],
)
def test_worker_is_told_from_other_containers(found: dict[str, Any], log: str, expected: int) -> None:
    assert len(readings.readings(engine_with(log), found=[found])["workers"]) == expected


def test_entry_says_who_runs_the_container_and_how_to_start_it_again() -> None:
    made = {
        **container(env=["LIVEKIT_URL=ws://s", "LIVEKIT_AGENT_NAME_OVERRIDE=b"]),
        "HostConfig": {"RestartPolicy": {"Name": "always"}},
    }
    found: Any = readings.readings(engine_with(REGISTERED), found=[made])["workers"][0]
    expected = {
        "kind": "container",
        "override": "b",
        "configured_url": "ws://s",
        "start_command": "docker start app-1",
        "unread": "",
    }
    assert {key: found[key] for key in expected} == expected
    assert (found["supervisor"]["kind"], found["supervisor"]["policy"], found["supervisor"]["enabled"]) == (
        "docker",
        "always",
        True,
    )


def request(job: str, time: str | None) -> Any:
    return {"job_id": job, "room": f"room-{job}", "time": time}


OLD, NEW, UNDATED = (
    request("1", "1970-01-01T00:00:10+00:00"),
    request("2", "1970-01-01T00:00:20+00:00"),
    request("3", None),
)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param(readings.Selection(frozenset({"1"})), [OLD], id="a job"),
        pytest.param(readings.Selection(rooms=frozenset({"room-3"})), [UNDATED], id="a room"),
        pytest.param(readings.Selection(since=15.0), [NEW, UNDATED], id="all since a time"),
        pytest.param(readings.Selection(), [], id="nothing asked for"),
    ],
)
def test_requests_are_those_asked_for(selection: readings.Selection, expected: list[dict[str, Any]]) -> None:
    assert selection.chosen([OLD, NEW, UNDATED]) == expected


# --- everywhere ------------------------------------------------------------------------------------------------------


class Host:
    """A host with one container and an empty /proc; ``refused`` is what the Engine answers instead."""

    def __init__(
        self, root: Path, found: dict[str, Any], log: str = "", refused: str = "", unreadable: str = ""
    ) -> None:
        self.root, self.found, self.log, self.refused, self.unreadable = root, found, log, refused, unreadable
        self.tails: list[str] = []

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        if self.refused:
            return 1, "", self.refused
        if argv[1] == "ps":
            return 0, self.found["Id"], ""
        if argv[1] == "inspect":
            return 0, json.dumps([self.found]), ""
        self.tails += [argv[3]] if "--tail" in argv else []
        return (1, "", self.unreadable) if self.unreadable else (0, self.log, "")

    def read(self) -> Any:
        return search.everywhere(Told(self), self.root)


@pytest.mark.parametrize(
    ("found", "log", "expected"),
    [
        pytest.param(container("agent", ["LIVEKIT_AGENT_NAME=x"]), REGISTERED, 1, id="with a name"),
        pytest.param(container("agent", ["LIVEKIT_URL=ws://s"]), REGISTERED, 1, id="with a URL"),
        pytest.param(container("agent"), REGISTERED, 1, id="known only by its log"),
        pytest.param(container("agent", running=False), REGISTERED, 0, id="stopped, and known only by its log"),
        pytest.param(container("api", ["LIVEKIT_URL=ws://s"]), "INFO: Uvicorn running", 0, id="an API"),
        pytest.param(
            container("fastapi", ["LIVEKIT_AGENT_NAME=x", "LIVEKIT_DEPLOY_INSTANCE=h/i"]), REGISTERED, 0, id="our API"
        ),
        pytest.param(container("web"), "hello", 0, id="anything else"),
    ],
)
def test_every_container_that_is_a_worker_is_found(
    tmp_path: Path, found: dict[str, Any], log: str, expected: int
) -> None:
    assert len(Host(tmp_path, found, log).read()["workers"]) == expected


def test_of_a_container_that_is_not_for_livekit_only_the_last_lines_are_read(tmp_path: Path) -> None:
    host = Host(tmp_path, container("web"), "hello")
    host.read()
    assert host.tails == ["2000"]


@pytest.mark.parametrize(
    ("refused", "unread"),
    [
        pytest.param("docker: No such file or directory", 0, id="no Docker there: nothing is hidden"),
        pytest.param("permission denied", 1, id="not allowed"),
        pytest.param("Cannot connect to the Docker daemon", 1, id="not running"),
    ],
)
def test_engine_that_does_not_answer_is_said_and_no_error(tmp_path: Path, refused: str, unread: int) -> None:
    found = Host(tmp_path, container(), refused=refused).read()
    assert (found["workers"], len(found["unread"])) == ([], unread)


GONE = pytest.mark.parametrize(
    "said", ["No such container: x", "can not get logs from container which is dead or marked for removal"]
)


@GONE
def test_container_that_is_removed_meanwhile_is_left_out(tmp_path: Path, said: str) -> None:
    host = Host(tmp_path, container(), unreadable=f"Error response from daemon: {said}")
    assert readings.readings(Told(host))["workers"] == []
    assert (host.read()["workers"], host.read()["unread"]) == ([], [])


def test_engine_that_refuses_a_log_for_another_reason_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(docker.EngineError, match="does not support reading"):
        readings.readings(Told(Host(tmp_path, container(), unreadable="logging driver does not support reading")))


def test_container_whose_log_cannot_be_read_is_said_to_be_unread(tmp_path: Path) -> None:
    made = container("agent", ["LIVEKIT_AGENT_NAME=x"])
    (said,) = Host(tmp_path, made, unreadable="logging driver does not support reading").read()["unread"]
    assert said == "container app-1: its log cannot be read: logging driver does not support reading"


@pytest.mark.parametrize("label", docker.ORCHESTRATORS)
def test_container_of_an_orchestrator_is_not_dockers_alone(label: str) -> None:
    made = container()
    made["Config"]["Labels"][label] = "x"
    assert readings.docker_supervisor(made)["kind"] == "other"


BEFORE = "2026-01-01T12:00:00+00:00"


def reading(**changes: Any) -> Any:
    good: dict[str, Any] = {"running": True, "restarts": 0, "exit_code": None, "worker_id": "AW_1", "connected": True}
    return {**good, "agent_name": "a", "last_lines": [], **changes}


@pytest.mark.parametrize(
    ("workers", "said", "final"),
    [
        pytest.param([], "0 worker containers", False, id="none"),
        pytest.param([reading(), reading()], "2 worker containers", False, id="two"),
        pytest.param([reading(running=False, exit_code=0)], "the worker ended (exit status 0", True, id="ended"),
        pytest.param([reading(restarts=2)], "restarts 2", True, id="crash loop"),
        pytest.param(
            [reading(worker_id=None)],
            "has not registered, expected it as a. It has logged nothing",
            False,
            id="hanging",
        ),
        pytest.param(
            [reading(worker_id=None, last_lines=["x", "y"])],
            "has not registered, expected it as a. Its last lines: x | y",
            False,
            id="not registered",
        ),
        pytest.param(
            [reading(started_at="2026-01-02T00:00:00.5Z", registered_since=BEFORE)],
            "has not registered since",
            False,
            id="again",
        ),
        pytest.param([reading(agent_name="hard")], "registered as 'hard', expected 'a'", True, id="name in code"),
        pytest.param([reading(agent_name=None)], "registered as None, expected 'a'", False, id="no name yet"),
        pytest.param([reading(connected=False)], "lost its connection", False, id="flapping"),
    ],
)
def test_trouble_names_the_cause_and_whether_waiting_can_help(workers: Any, said: str, final: bool) -> None:
    trouble = registration.registration_trouble(workers, "a")
    assert trouble is not None
    assert (said in trouble.text, trouble.final) == (True, final)


@pytest.mark.parametrize("times", [{}, {"started_at": "2026-01-01T00:00:00.123456789Z", "registered_since": BEFORE}])
def test_registered_worker_is_no_trouble(times: dict[str, str]) -> None:
    assert registration.registration_trouble([reading(**times)], "a") is None


def test_known_worker_is_read_though_nothing_of_it_says_that_it_is_one() -> None:
    made = [container("bot", ["LIVEKIT_URL=ws://l"])]
    name = made[0]["Name"].lstrip("/")
    assert readings.readings(engine_with("{}"), found=made)["workers"] == []
    assert [one["container"] for one in readings.readings(engine_with("{}"), found=made, known=[name])["workers"]] == [
        name
    ]


def test_of_a_project_only_the_known_worker_is_read() -> None:
    made = [{**container("bot", ["LIVEKIT_AGENT_NAME=a"]), "Name": f"/{name}"} for name in ("api", "bot-1", "bot-2")]
    reads: dict[str, Any] = {"found": made, "known": ["bot-1"]}
    assert [
        one["container"] for one in readings.readings(engine_with(REGISTERED), project="p", **reads)["workers"]
    ] == ["bot-1"]
    assert len(readings.readings(engine_with(REGISTERED), **reads)["workers"]) == len(made)


@pytest.mark.parametrize(("known", "name"), [([], None), (["p-bot-1"], "a")])
def test_name_that_an_older_worker_does_not_log_is_what_it_was_created_with(known: list[str], name: str | None) -> None:
    made = [{**container("agent-worker", ["LIVEKIT_AGENT_NAME=a"]), "Name": "/p-bot-1"}]
    found = readings.readings(engine_with('{"message": "registered worker", "id": "AW_1"}'), found=made, known=known)[
        "workers"
    ]
    assert [one["agent_name"] for one in found] == [name]


def test_trouble_from_before_the_time_looked_at_is_not_counted() -> None:
    lines = [
        f'{{"message": "failed to connect to livekit, retrying in 2s", "timestamp": "2026-01-0{day}T00:00:00+00:00"}}'
        for day in (1, 3)
    ]
    found = readings.shared_reading(
        logs.Log(lines), {}, {}, readings.Selection(frozenset(), frozenset(), (), 1767312000.0)
    )
    assert (found["failures"], found["requests_total"]) == (1, 0)


# --- what answers where a worker answers ------------------------------------------------------------------------------


def drip(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.5)


@pytest.mark.parametrize("talk", [saying(b"SSH-2.0-OpenSSH\r\n"), saying(b""), drip, lambda _: time.sleep(5)])
def test_what_speaks_no_http_in_time_is_no_answer(talk: Callable[[socket.socket], None]) -> None:
    started = time.monotonic()
    with server(talk) as port:
        assert own_answer.ask_worker(("127.0.0.1", port)) == {}
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("said", "load", "jobs"),
    [
        ("{}", None, None),
        ('{"agent_name": "a"}', 0.0, 0),
        ('{"worker_load": 0.5, "active_jobs": 3}', 0.5, 3),
        ('{"worker_load": "x", "active_jobs": 3}', None, 3),
        ('{"worker_load": 1, "active_jobs": null}', 1.0, None),
        ('{"worker_load": 1e999, "active_jobs": 1e999}', None, None),
        ('{"worker_load": NaN, "active_jobs": [1]}', None, None),
        (f'{{"worker_load": {"9" * 400}, "active_jobs": true}}', None, None),
        ("[1, 2]", None, None),
        ("[" * 1000, None, None),
    ],
)
def test_figures_of_an_answer_are_figures_or_not_known(
    said: str, load: float | None, jobs: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_answer.web, "ask", lambda *_: web.Answer(200, said.encode()))
    made = {**container(), "NetworkSettings": {"Networks": {"n": {"IPAddress": "127.0.0.1"}}}}
    found = readings.readings(engine_with(REGISTERED), found=[made])["workers"][0]
    assert (found["load"], found["active_jobs"]) == (load, jobs)


def test_names_of_an_answer_are_texts_or_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        own_answer.web, "ask", lambda *_: web.Answer(200, b'{"agent_name": 1, "sdk_version": {"a": []}}')
    )
    assert own_answer.ask_worker(("127.0.0.1", 1)) == {"agent_name": None, "sdk_version": None}


# --- what others say -------------------------------------------------------------------------------------------------

SECRET = "sk-proj-4711abcd"
SAID = {
    "plain": f"openai.AuthenticationError: Incorrect API key provided: {SECRET}",
    "json": json.dumps({"message": f"failed with {SECRET}", "level": "ERROR"}),
    "error": json.dumps(
        {"message": f"unhandled exception while running the job task\nTraceback\nValueError: {SECRET}"}
    ),
    "failure": json.dumps({"message": "worker failed", "exc_info": f"Traceback\nValueError: {SECRET}"}),
    "escaped": json.dumps({"message": "worker failed", "error": f"key {SECRET!r} \x1b[2J"}),
    "token": json.dumps({"message": "worker failed", "error": "wss://key:hidden@host?access_token=hidden"}),
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_secret_that_a_program_prints_when_it_fails_does_not_leave_the_host(said: str) -> None:
    made = container(env=[f"OPENAI_API_KEY={SECRET}"])
    found = json.dumps(readings.readings(engine_with(f"{REGISTERED}\n{said}"), found=[made]))
    assert not any(part in found for part in (SECRET, "hidden", "\\u001b"))
    assert "***" in found


def test_what_quotes_the_log_has_no_secret_of_the_container() -> None:
    secret = "do-not-tell-this"
    error = f"Incorrect API key provided: {secret}"
    lines = [
        json.dumps({"message": "unhandled exception while running the job task", "level": "ERROR", "error": error}),
        json.dumps({"message": error, "level": "ERROR"}),
        json.dumps({"message": "job_request_fnc failed", "level": "ERROR", "error": error}),
        json.dumps({"message": "worker failed", "level": "ERROR", "error": error}),
        error,
    ]
    made = container(env=["OPENAI_API_KEY=" + secret, "LIVEKIT_AGENT_NAME=a"])
    (found,) = readings.readings(engine_with("\n".join(lines)), found=[made])["workers"]
    assert (found["entrypoint_errors"], found["unknown_errors"], found["failures"]) == (1, 1, 1)
    assert secret not in json.dumps(found)


def test_container_in_which_a_process_ran_out_of_memory_says_so() -> None:
    made = container()
    made["State"]["OOMKilled"] = True
    (found,) = readings.readings(engine_with(REGISTERED), found=[made])["workers"]
    assert found["oom_killed"] is True


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["python", "agent.py", "dev"], True),
        (["sh", "-c", "uv run agent.py dev"], True),
        (["python", "agent.py", "start"], False),
        (["dev"], False),
    ],
)
def test_worker_that_was_started_with_dev_is_known(argv: list[str], expected: bool) -> None:
    assert readings.is_dev(argv) is expected
