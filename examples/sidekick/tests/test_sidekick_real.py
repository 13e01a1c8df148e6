"""The hook, the worker and the API against a real LiveKit server on loopback.

The worker is started as its image starts it. Needs the application's requirements and the server's
binary (LIVEKIT_SERVER); about 2 minutes, most of it waiting for nobody.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faults
import pytest
import real_livekit as real
from app.main import create_app
from app.settings import Settings
from fastapi.testclient import TestClient

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real.livekit_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(scope="module")
def shared_worker(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Worker]:
    with real.worker(url, tmp_path_factory.mktemp("worker"), f"agent-{uuid.uuid4().hex[:8]}") as worker:
        real.wait_until("the worker is registered", lambda: worker.lines("registered worker"))
        yield worker


@pytest.fixture
def worker(shared_worker: real.Worker) -> real.Worker:
    shared_worker.set_gate("open")
    return shared_worker


def probe(mode: str, **fields: Any) -> tuple[str, str]:
    """Return the metadata of a probe and its nonce."""
    nonce = uuid.uuid4().hex
    return json.dumps({"livekit_deploy_probe": 1, "nonce": nonce, "mode": mode, **fields}), nonce


def jobs_started(worker: real.Worker) -> int:
    return len(worker.lines("tool call"))


def test_the_name_in_the_environment_is_in_effect(worker: real.Worker) -> None:
    assert worker.lines("registered worker")[-1]["agent_name"] == worker.agent_name


def test_an_answered_probe_shows_our_worker_id_and_starts_no_job(url: str, worker: real.Worker) -> None:
    before = jobs_started(worker)
    metadata, nonce = probe("answer")
    sent = real.send(url, worker.agent_name, metadata)
    assert sent.worker_id == worker.worker_id
    assert worker.lines("probe answered", nonce=nonce, job_id=sent.job_id, mode="answer")
    time.sleep(2)
    assert jobs_started(worker) == before


def test_a_passed_probe_finds_nobody_else(url: str, worker: real.Worker) -> None:
    metadata, nonce = probe("pass")
    assert real.send(url, worker.agent_name, metadata).nobody
    assert worker.lines("probe passed on", nonce=nonce, decision="pass")


def test_a_passed_probe_finds_a_worker_without_the_hook(url: str, worker: real.Worker, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.py"
    foreign.write_text(FOREIGN_WORKER)
    with real.worker(url, tmp_path, worker.agent_name, script=str(foreign)) as other:
        real.wait_until("the other worker is registered", lambda: other.lines("registered worker"))
        assert real.send(url, worker.agent_name, probe("pass")[0]).worker_id == other.worker_id


def test_a_closed_gate_lets_nobody_take_a_call_and_an_opened_one_does(url: str, worker: real.Worker) -> None:
    worker.set_gate("closed")
    lost = real.send(url, worker.agent_name)
    assert lost.nobody
    assert worker.lines("received job request", room=lost.room)
    worker.set_gate("open")
    assert real.send(url, worker.agent_name).worker_id == worker.worker_id


def test_a_closed_gate_answers_the_directed_probe_only(url: str, worker: real.Worker) -> None:
    worker.set_gate("closed")
    directed = real.send(url, worker.agent_name, probe("answer_if", instance=worker.instance)[0])
    assert directed.worker_id == worker.worker_id
    assert real.send(url, worker.agent_name, probe("answer")[0]).nobody


def test_a_preview_brings_the_agent_into_the_room_and_keeps_it_there(url: str, worker: real.Worker) -> None:
    with preview(url, worker.agent_name) as answer:
        room = answer["room"]
        (agent,) = real.wait_until("the agent is in the room", lambda: real.participants(url, room))
        (line,) = real.wait_until("the tool call is logged", lambda: worker.lines("tool call", room=room))
        assert agent.identity == f"agent-{line['job_id']}"
        (request,) = worker.lines("received job request", room=room)
        assert (request["dispatch_id"], request["job_id"]) == (answer["dispatch_id"], line["job_id"])
        time.sleep(3)  # the entrypoint has returned long ago
        assert [there.identity for there in real.participants(url, room)] == [agent.identity]


@contextmanager
def preview(url: str, agent_name: str) -> Iterator[dict[str, str]]:
    """Ask the API for a preview; its room is deleted at the end."""
    values = {"livekit_agent_name": agent_name, "livekit_url": url}
    secrets = {"livekit_api_key": real.KEY, "livekit_api_secret": real.SECRET}
    with TestClient(create_app(Settings.model_validate(values | secrets))) as client:
        answer = client.post("/v1/preview")
    assert answer.status_code == 200, answer.text
    yield answer.json()
    real.delete_room(url, answer.json()["room"])


def test_a_wrong_api_key_is_told_by_the_api(url: str) -> None:
    values = {"livekit_agent_name": "any", "livekit_url": url}
    secrets = {"livekit_api_key": real.KEY, "livekit_api_secret": "wrong" * 10}
    with TestClient(create_app(Settings.model_validate(values | secrets))) as client:
        answer = client.post("/v1/preview")
    assert (answer.status_code, answer.json()["detail"]["error"]) == (502, "livekit_refuses")
    assert answer.json()["detail"]["message"] == "LiveKit refuses (HTTP 401): wrong API key or secret"


def test_fault_entrypoint_raises_takes_the_job_and_is_not_in_the_room(url: str, tmp_path: Path) -> None:
    with real.worker(url, tmp_path, "raises", SIDEKICK_FAULT="entrypoint_raises") as broken:
        real.wait_until("registered", lambda: broken.lines("registered worker"))
        with preview(url, "raises") as answer:
            real.wait_until("the job failed", lambda: broken.lines("unhandled exception while running the job"))
            assert real.participants(url, answer["room"]) == []


def test_fault_hardcoded_name_beats_the_environment(url: str, tmp_path: Path) -> None:
    with real.worker(url, tmp_path, "wanted", SIDEKICK_FAULT="hardcoded_name") as broken:
        (line,) = real.wait_until("registered", lambda: broken.lines("registered worker"))
        assert line["agent_name"] == faults.HARDCODED_NAME


def test_fault_never_registers_keeps_running_unregistered(url: str, tmp_path: Path) -> None:
    with real.worker(url, tmp_path, "never", SIDEKICK_FAULT="never_registers") as broken:
        real.wait_until("two attempts", lambda: len(broken.lines("failed to connect to livekit")) >= 2)
        assert broken.process.poll() is None
        assert broken.lines("registered worker") == []


def test_fault_slow_request_loses_even_a_probe(url: str, tmp_path: Path) -> None:
    with real.worker(url, tmp_path, "slow", SIDEKICK_FAULT="slow_request") as broken:
        real.wait_until("registered", lambda: broken.lines("registered worker"))
        metadata, nonce = probe("answer")
        assert real.send(url, "slow", metadata).nobody
        assert broken.lines("probe answered", nonce=nonce)


FOREIGN_WORKER = """
import os
from livekit.agents import AgentServer, JobContext, cli

server = AgentServer(num_idle_processes=1, port=int(os.environ["SIDEKICK_HTTP_PORT"]), load_fnc=lambda: 0.0)


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()


cli.run_app(server)
"""
