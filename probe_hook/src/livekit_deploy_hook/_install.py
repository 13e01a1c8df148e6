"""Put the guard around the request handler of every ``AgentServer`` of this process.

Each way to define a worker (``rtc_session`` with or without ``on_request``, ``WorkerOptions``) ends
in one attribute of ``AgentServer`` and one method that runs it. Versions differ before that, not there.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

from ._guard import Guard, guard

AGENTS = "livekit.agents"
HANDLER = "_request_fnc"
CALLER = "_answer_availability"

logger = logging.getLogger("livekit_deploy_hook")


def install() -> None:
    """Guard the servers of livekit-agents, now or when the script imports it.

    We do not import it ourselves: what the script does before its import (``load_dotenv()``,
    ``OMP_NUM_THREADS``) must take effect as it does without us.
    """
    if AGENTS in sys.modules:
        guard_servers(sys.modules[AGENTS])
    else:
        sys.meta_path.insert(0, _AfterImport(AGENTS, guard_servers))


class _AfterImport(MetaPathFinder):
    """Calls a function with a module each time the module has been executed."""

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        found = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, found), None)
        if spec is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # the class's own is there again
            loader.exec_module(module)
            self._then(module)

        loader.exec_module = exec_module


def guard_servers(agents: Any) -> None:
    """Make each ``AgentServer`` guard its handler when it starts to run, or exit if that cannot be.

    Not earlier: a handler may be set at any time before, and an unstarted server may be pickled.
    """
    if problem := unknown_place(agents):
        version = getattr(agents, "__version__", "of unknown version")
        # SystemExit, since a script may well catch Exception around an import.
        raise SystemExit(
            f"livekit_deploy_hook: found livekit-agents {version} ({problem}), expected one whose request handler can "
            "be guarded (1.3.7 to 1.8.9 are known); "
            "install one of these, or call guard() in the code instead of this launcher"
        )
    original = agents.AgentServer.run

    @functools.wraps(original)
    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        put_guard(self)
        return await original(self, *args, **kwargs)

    agents.AgentServer.run = run


def put_guard(server: Any) -> None:
    """Put the guard around a server's handler, unless the code has done so itself."""
    handler = getattr(server, HANDLER)
    if not isinstance(handler, Guard):
        handler = guard(handler)
        setattr(server, HANDLER, handler)
    about = {"instance": handler.instance, "gate": str(handler.gate.path), "hook_process": handler.process}
    logger.info("request handler is guarded", extra=about)


def unknown_place(agents: Any) -> str | None:
    """Say what livekit-agents lacks of the places we rely on, or None."""
    server, request = getattr(agents, "AgentServer", None), getattr(agents, "JobRequest", None)
    if not inspect.iscoroutinefunction(getattr(server, "run", None)):
        return "no coroutine AgentServer.run"
    if HANDLER not in _names(getattr(server, CALLER, None)):
        return f"AgentServer.{CALLER} does not call {HANDLER}"
    reject = getattr(request, "reject", None)
    if reject is None or "terminate" not in inspect.signature(reject).parameters:
        return "JobRequest.reject has no terminate"
    return None


def _names(function: Any) -> set[str]:
    """Return the attribute names that a function uses, nested functions included."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return {name for each in _codes(code) for name in each.co_names} if code else set()


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
