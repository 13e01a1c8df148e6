"""The wrapper: one answer for each request, the application asked only when it must be."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from livekit_deploy_hook import guard

INSTANCE = "web1/r1"


@dataclass
class FakeJob:
    metadata: str


@dataclass
class FakeRequest:
    """Records what the worker would tell the server."""

    metadata: str
    id: str = "AJ_1"
    answers: list[Any] = field(default_factory=list)

    @property
    def job(self) -> FakeJob:
        return FakeJob(self.metadata)

    async def accept(self) -> None:
        self.answers.append("accept")

    async def reject(self, *, terminate: bool = True) -> None:
        self.answers.append(("reject", terminate))


Application = Callable[[FakeRequest], Awaitable[None]]


def probe(mode: str, **fields: Any) -> str:
    return json.dumps({"livekit_deploy_probe": 1, "nonce": "n1", "mode": mode, **fields})


def ask(metadata: str, gate_path: Path, on_request: Application | None = None) -> FakeRequest:
    request = FakeRequest(metadata)
    handler = guard(on_request, instance=INSTANCE, gate_path=str(gate_path))
    asyncio.run(handler(request))
    return request


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.mark.parametrize(
    ("metadata", "answer"),
    [
        (probe("answer"), ("reject", True)),
        (probe("pass"), ("reject", False)),
        (probe("answer_if", instance=INSTANCE), ("reject", True)),
        (probe("answer_if", instance="web2/r1"), ("reject", False)),
        ("a real call", "accept"),
    ],
)
def test_each_request_gets_exactly_one_answer(gate: Path, metadata: str, answer: Any) -> None:
    assert ask(metadata, gate).answers == [answer]


def test_the_application_is_asked_for_real_requests_only(gate: Path) -> None:
    seen: list[str] = []

    async def application(request: FakeRequest) -> None:
        seen.append(request.metadata)

    for metadata in ("real", probe("answer"), probe("pass"), probe("unknown")):
        ask(metadata, gate, application)
    assert seen == ["real"]


def test_a_closed_gate_passes_a_real_request_on_without_asking_the_application(gate: Path) -> None:
    async def application(_request: FakeRequest) -> None:
        raise AssertionError("asked")

    gate.write_text("closed\n")
    assert ask("real", gate, application).answers == [("reject", False)]


def test_the_gate_is_read_for_each_request(gate: Path) -> None:
    handler = guard(instance=INSTANCE, gate_path=str(gate))
    request = FakeRequest("real")
    for state in ("closed", "open", "closed"):
        gate.write_text(state)
        asyncio.run(handler(request))
    assert request.answers == [("reject", False), "accept", ("reject", False)]


def test_the_environment_gives_instance_and_gate(gate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.write_text("closed")
    monkeypatch.setenv("LIVEKIT_DEPLOY_INSTANCE", INSTANCE)
    monkeypatch.setenv("LIVEKIT_DEPLOY_GATE", str(gate))
    directed, plain = FakeRequest(probe("answer_if", instance=INSTANCE)), FakeRequest("real")
    handler = guard()
    asyncio.run(handler(directed))
    asyncio.run(handler(plain))
    assert (directed.answers, plain.answers) == ([("reject", True)], [("reject", False)])


def test_an_error_of_the_application_reaches_the_worker(gate: Path) -> None:
    async def application(_request: FakeRequest) -> None:
        raise LookupError("theirs")

    with pytest.raises(LookupError, match="theirs"):
        ask("real", gate, application)


@pytest.mark.parametrize(
    ("metadata", "message", "decision"),
    [
        (probe("answer"), "probe answered", "answer"),
        (probe("pass"), "probe passed on", "pass"),
    ],
)
def test_one_line_is_logged_per_probe(
    gate: Path, caplog: pytest.LogCaptureFixture, metadata: str, message: str, decision: str
) -> None:
    caplog.set_level(logging.INFO, "livekit_deploy_hook")
    ask(metadata, gate)
    (record,) = caplog.records
    fields = {k: record.__dict__[k] for k in ("nonce", "mode", "decision", "job_id", "instance")}
    assert (record.name, record.message) == ("livekit_deploy_hook", message)
    assert fields == {
        "nonce": "n1",
        "mode": decision,
        "decision": decision,
        "job_id": "AJ_1",
        "instance": INSTANCE,
    }


def test_a_request_for_the_application_is_not_logged_here(gate: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "livekit_deploy_hook")
    ask("real", gate)
    assert caplog.records == []


def test_a_request_passed_on_at_the_closed_gate_is_logged(gate: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "livekit_deploy_hook")
    gate.write_text("closed")
    ask("real", gate)
    assert [record.message for record in caplog.records] == ["request passed on, gate is closed"]


def test_a_long_nonce_is_cut_in_the_log(gate: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "livekit_deploy_hook")
    ask(json.dumps({"livekit_deploy_probe": 1, "nonce": "x" * 9999, "mode": "pass"}), gate)
    assert len(caplog.records[0].__dict__["nonce"]) == 128


def test_a_guarded_handler_can_be_pickled(gate: Path) -> None:
    """`dev` with reload (livekit-agents before 1.6) sends the server to a child process."""
    handler = pickle.loads(pickle.dumps(guard(instance=INSTANCE, gate_path=str(gate))))  # noqa: S301 - our own bytes
    request = FakeRequest(probe("answer"))
    asyncio.run(handler(request))
    assert request.answers == [("reject", True)]
