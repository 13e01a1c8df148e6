"""The wrapper around a worker's ``on_request``."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, overload

from ._decide import Decision, decide, parse_probe, rehearsal_of
from ._gate import DEFAULT_GATE_PATH, GateFile

INSTANCE_ENV = "LIVEKIT_DEPLOY_INSTANCE"
GATE_ENV = "LIVEKIT_DEPLOY_GATE"
_LOGGED_CHARACTERS = 128
# Drawn when this process starts, so that a copy of the host, whose containers start again, has another one.
PROCESS = secrets.token_hex(8)

logger = logging.getLogger("livekit_deploy_hook")


class Job(Protocol):
    """The part of a LiveKit job that is read here."""

    @property
    def metadata(self) -> str: ...


class Request(Protocol):
    """The part of ``livekit.agents.JobRequest`` that is used here."""

    @property
    def id(self) -> str: ...

    @property
    def job(self) -> Job: ...

    async def accept(self) -> None: ...

    async def reject(self, *, terminate: bool = True) -> None: ...


R = TypeVar("R", bound=Request)


@dataclass(frozen=True)
class Guard:
    """What ``guard()`` returns: a class and no closure, because `dev` with reload pickles the handler."""

    application: Callable[[Any], Awaitable[None]]
    instance: str
    gate: GateFile
    process: str = PROCESS

    async def __call__(self, request: Any) -> None:
        decision = decide(request.job.metadata, self.instance, self.gate.read(), self.process)
        if decision is Decision.APPLICATION:
            await self.application(request)
            return
        await request.reject(terminate=decision is Decision.ANSWER)
        _log(request, decision, self.instance, self.process)


@overload
def guard(
    on_request: None = None, *, instance: str | None = None, gate_path: str | None = None
) -> Callable[[Request], Coroutine[Any, Any, None]]: ...


@overload
def guard(
    on_request: Callable[[R], Awaitable[None]],
    *,
    instance: str | None = None,
    gate_path: str | None = None,
) -> Callable[[R], Coroutine[Any, Any, None]]: ...


def guard(
    on_request: Callable[[Any], Awaitable[None]] | None = None,
    *,
    instance: str | None = None,
    gate_path: str | None = None,
) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """Return an ``on_request`` that answers probes, obeys the gate and hands on the rest.

    Args:
        on_request: the application's own handler; without one, real requests are accepted.
        instance: ``<inventory_hostname>/<release>``; default: LIVEKIT_DEPLOY_INSTANCE, else "".
        gate_path: the gate file; default: LIVEKIT_DEPLOY_GATE, else /run/livekit-deploy/state.
    """
    if instance is None:
        instance = os.environ.get(INSTANCE_ENV, "")
    gate = GateFile(gate_path or os.environ.get(GATE_ENV) or DEFAULT_GATE_PATH)
    return Guard(on_request or _accept, instance, gate)


async def _accept(request: Request) -> None:
    """Take the job: what livekit-agents does when there is no ``on_request``."""
    await request.accept()


def _log(request: Request, decision: Decision, instance: str, process: str = PROCESS) -> None:
    """Log one line for a request that never reached the application."""
    extra = {"job_id": request.id, "decision": decision.value, "instance": instance, "hook_process": process}
    probe = parse_probe(request.job.metadata)
    if probe is None:
        if rehearsal_of(request.job.metadata) is None:
            logger.info("request passed on, gate is closed", extra=extra)
        else:
            logger.info("probe passed on", extra={**extra, "mode": "rehearsal"})
        return
    extra |= {"nonce": _short(probe.nonce), "mode": _short(probe.mode)}
    message = "probe answered" if decision is Decision.ANSWER else "probe passed on"
    logger.info(message, extra=extra)


def _short(value: object) -> str:
    """Return a sender's value as text of bounded length: whoever may dispatch writes our log."""
    return str(value)[:_LOGGED_CHARACTERS]
