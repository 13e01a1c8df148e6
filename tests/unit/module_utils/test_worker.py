"""Readings of a host's workers, and why one is not registered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy import engine, worker

REGISTERED = json.dumps({"message": "registered worker", "id": "AW_1", "agent_name": "a", "timestamp": "t"})


def container(service: str = "agent-worker", env: Sequence[str] = (), running: bool = True) -> dict[str, Any]:
    return {
        "Id": "0123456789abcdef",
        "Name": "/app-1",
        "State": {"Running": running, "ExitCode": 0, "StartedAt": "then"},
        "Config": {"Image": "i", "Env": list(env), "Labels": {engine.SERVICE_LABEL: service, engine.PROJECT_LABEL: "p"}},
        "NetworkSettings": {"Networks": {}},
    }


def engine_with(log: str) -> engine.Run:
    return lambda argv: (0, log, "") if argv[1] == "logs" else (1, "", "unexpected")


def test_reading_joins_environment_and_log() -> None:
    env = ["AGENT_NAME=a", "LIVEKIT_AGENT_NAME=a", "LIVEKIT_DEPLOY_INSTANCE=host-1/id1"]
    found = worker.readings(engine_with(REGISTERED), found=[container(env=env)])["workers"][0]
    expected = {"worker_id": "AW_1", "release": "id1", "env": {"AGENT_NAME": "a", "LIVEKIT_AGENT_NAME": "a"}, "connected": True}
    assert {key: found[key] for key in expected} == expected


def test_ended_container_is_not_connected_whatever_its_log_says() -> None:
    assert worker.readings(engine_with(REGISTERED), found=[container(running=False)])["workers"][0]["connected"] is False


@pytest.mark.parametrize(
    ("found", "log", "expected"),
    [
        pytest.param(container(), "", 1, id="the compose service, whatever it says"),
        pytest.param(container("agent", ["LIVEKIT_AGENT_NAME=x"]), REGISTERED, 1, id="somebody else's that registered"),
        pytest.param(container("api", ["LIVEKIT_AGENT_NAME=x"]), "INFO: Uvicorn running", 0, id="somebody else's API"),
        pytest.param(container("fastapi", ["LIVEKIT_AGENT_NAME=x", "LIVEKIT_DEPLOY_INSTANCE=h/i"]), "", 0, id="our API"),
        pytest.param(container("web"), REGISTERED, 0, id="a container without an agent name"),
    ],
)
def test_worker_is_told_from_other_containers(found: dict[str, Any], log: str, expected: int) -> None:
    assert len(worker.readings(engine_with(log), found=[found])["workers"]) == expected


def reading(**changes: Any) -> dict[str, Any]:
    good: dict[str, Any] = {"running": True, "restarts": 0, "exit_code": None, "worker_id": "AW_1", "connected": True}
    return {**good, "agent_name": "a", "last_lines": [], **changes}


@pytest.mark.parametrize(
    ("workers", "said", "final"),
    [
        pytest.param([], "0 worker containers", False, id="none"),
        pytest.param([reading(), reading()], "2 worker containers", False, id="two"),
        pytest.param([reading(running=False, exit_code=0)], "the worker ended (exit status 0", True, id="ended"),
        pytest.param([reading(restarts=2)], "restarts 2", True, id="crash loop"),
        pytest.param([reading(worker_id=None)], "has not registered", False, id="not registered"),
        pytest.param([reading(agent_name="hard")], "registered as 'hard', expected 'a'", True, id="name in code"),
        pytest.param([reading(connected=False)], "lost its connection", False, id="flapping"),
    ],
)
def test_trouble_names_the_cause_and_whether_waiting_can_help(workers: list[dict[str, Any]], said: str, final: bool) -> None:
    trouble = worker.registration_trouble(workers, "a")
    assert trouble is not None
    assert (said in trouble.text, trouble.final) == (True, final)


def test_registered_worker_is_no_trouble() -> None:
    assert worker.registration_trouble([reading()], "a") is None
