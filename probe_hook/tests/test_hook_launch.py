"""The launcher, in processes of its own, with a small stand-in for livekit-agents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).parents[1] / "src"
LAUNCHER = ["-m", "livekit_deploy_hook"]

AGENTS = '''
"""What the launcher touches of livekit-agents, and one request that asks the handler."""
import asyncio, types

__version__ = "9.9.9"


class JobRequest:
    id = "AJ_1"

    def __init__(self, metadata):
        self.job = types.SimpleNamespace(metadata=metadata)
        self.answer = None

    async def accept(self):
        self.answer = "accept"

    async def reject(self, *, terminate=True):
        self.answer = f"reject {terminate}"


async def _default_request_fnc(request):
    await request.accept()


class AgentServer:
    def __init__(self):
        self._request_fnc = None

    def rtc_session(self, func=None, *, on_request=None):
        def decorator(f):
            self._request_fnc = on_request
            return f
        return decorator(func) if func else decorator

    async def run(self, *, devmode=False):
        if self._request_fnc is None:
            self._request_fnc = _default_request_fnc
        for metadata in ("real", '{"livekit_deploy_probe": 1, "mode": "pass"}'):
            request = JobRequest(metadata)
            await self._answer_availability(request)
            print(request.answer)

    async def _answer_availability(self, request):
        async def _job_request_task():
            await self._request_fnc(request)
        await _job_request_task()
'''
WORKER = """
import asyncio
from livekit.agents import AgentServer

server = AgentServer()

async def own(request):
    print("application")
    await request.accept()

{define}

if __name__ == "__main__":
    asyncio.run(server.run())
"""


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """The file of the stand-in."""
    package = tmp_path / "site" / "livekit"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "agents.py").write_text(AGENTS)
    return package / "agents.py"


@pytest.fixture
def script(tmp_path: Path, agents: Path) -> Path:
    assert agents.is_file()
    return tmp_path / "application" / "agent.py"


def run(script: Path, text: str, *args: str, launcher: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script from another directory than its own, with or without the launcher."""
    script.parent.mkdir(exist_ok=True)
    script.write_text(text)
    site = script.parents[1] / "site"
    argv = [sys.executable, *(LAUNCHER if launcher else []), os.path.relpath(script, site), *args]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(SOURCES)]), **env}
    return subprocess.run(argv, cwd=site, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("define", "seen"),
    [
        ("server.rtc_session(print)", ["accept", "reject False"]),
        ("server.rtc_session(on_request=own)(print)", ["application", "accept", "reject False"]),
        ("server._request_fnc = own", ["application", "accept", "reject False"]),
    ],
)
def test_a_handler_is_guarded_however_it_was_set(script: Path, define: str, seen: list[str]) -> None:
    assert run(script, WORKER.format(define=define), "start").stdout.splitlines() == seen


def test_without_the_launcher_the_same_worker_takes_the_probe(script: Path) -> None:
    text = WORKER.format(define="server.rtc_session(print)")
    assert run(script, text, "start", launcher=False).stdout.splitlines() == ["accept", "accept"]


def test_a_worker_that_calls_guard_itself_is_not_guarded_twice(script: Path) -> None:
    define = (
        "from livekit_deploy_hook import guard\nserver.rtc_session(print, on_request=guard(own))\n"
        "handler = server._request_fnc"
    )
    text = WORKER.format(define=define) + "\n    print(server._request_fnc is handler)"
    assert run(script, text, "start").stdout.splitlines()[-1] == "True"


def test_the_log_says_that_the_guard_is_in_place(script: Path) -> None:
    define = "import logging\nlogging.basicConfig(level='INFO', format='%(name)s %(message)s %(instance)s %(gate)s')"
    result = run(
        script, WORKER.format(define=define), "start", LIVEKIT_DEPLOY_INSTANCE="web1/r1", LIVEKIT_DEPLOY_GATE="/g"
    )
    assert "livekit_deploy_hook request handler is guarded web1/r1 /g" in result.stderr.splitlines()


def test_looking_for_livekit_agents_before_importing_it_changes_nothing(script: Path) -> None:
    text = "import importlib.util\nimportlib.util.find_spec('livekit.agents')\n" + WORKER.format(define="")
    assert run(script, text, "start").stdout.splitlines() == ["accept", "reject False"]


def test_livekit_agents_is_imported_by_the_script_and_not_before(script: Path) -> None:
    assert run(script, "import sys; print('livekit.agents' in sys.modules)", "start").stdout == "False\n"


MAIN_MODULE = """
import json, multiprocessing, os, sys

def child():
    return [__name__, sys.argv[1:], sys.path[0], "livekit_deploy_hook" in sys.modules]

if __name__ == "__main__":
    main = sys.modules["__main__"]
    seen = {
        "names": [__name__, __file__, __spec__, main.child is child],
        "argv": [os.path.basename(sys.argv[0]), *sys.argv[1:]],
        "path": [entry for entry in sys.path if "livekit-deploy" not in entry],
    }
    for method in ("spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            seen[method] = pool.apply(child)
    print(json.dumps(seen))
"""


def test_a_script_and_its_job_processes_see_what_they_see_without_the_launcher(script: Path) -> None:
    def seen(launcher: bool) -> dict[str, Any]:
        result = run(script, MAIN_MODULE, "start", "--log-level", "DEBUG", launcher=launcher)
        assert result.stderr == ""
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    assert seen(launcher=True) == seen(launcher=False)


@pytest.mark.parametrize(
    ("text", "code"), [("", 0), ("import sys; sys.exit(7)", 7), ("import os; os._exit(9)", 9), ("1/0", 1)]
)
def test_the_exit_code_is_the_scripts(script: Path, text: str, code: int) -> None:
    assert run(script, text, "start").returncode == code


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("AgentServer", "Worker", "no coroutine AgentServer.run"),
        ("async def run", "async def serve", "no coroutine AgentServer.run"),
        (
            "self._request_fnc(request)",
            "self._handlers[0](request)",
            "AgentServer._answer_availability does not call _request_fnc",
        ),
        ("_answer_availability", "_answer", "AgentServer._answer_availability does not call _request_fnc"),
        ("*, terminate=True", "*, ended=True", "JobRequest.reject has no terminate"),
        ("class JobRequest", "class Request", "JobRequest.reject has no terminate"),
    ],
)
def test_an_unknown_livekit_agents_is_refused_before_the_worker_runs(
    script: Path, agents: Path, old: str, new: str, problem: str
) -> None:
    agents.write_text(AGENTS.replace(old, new))
    result = run(script, "try:\n    import livekit.agents\nexcept Exception:\n    pass\nprint('runs')", "start")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"livekit_deploy_hook: found livekit-agents 9.9.9 ({problem}), expected ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "found"), [([], "no script"), (["missing.py", "start"], "'missing.py', which is no file")]
)
def test_a_command_line_without_a_script_is_refused(args: list[str], found: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    result = subprocess.run(
        [sys.executable, *LAUNCHER, *args], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"livekit_deploy_hook: found {found}; expected a worker's script; usage: ")


def test_dev_runs_and_is_told_where_the_guard_may_not_be(script: Path) -> None:
    result = run(script, WORKER.format(define=""), "dev")
    assert result.stdout.splitlines() == ["accept", "reject False"]
    assert "runs unguarded, use `start`" in result.stderr
