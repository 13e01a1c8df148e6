"""A copy of a host with its running containers is seen by what its own process draws; an image with an older hook is
proven as before.

The wheel in ``tests/data`` is the probe hook of commit 01584c5.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.livekit.probe import probe_metadata
from ansible.module_utils.livekit_deploy.play.run import Runs
from ansible.module_utils.livekit_deploy.proof import judge, observed, probes, verdicts
from ansible.module_utils.livekit_deploy.worker import worker_log

ROOT = Path(__file__).parents[4]
WHEEL, SOURCE = ROOT / "tests/data/livekit_deploy_hook-0.1.0-py3-none-any.whl", ROOT / "probe_hook/src"
OURS, COPY = "0123456789abcdef", "fedcba9876543210"
HERE = "a/20260101T000000Z-00000001"
# Asks a hook what it does with each request of [metadata, process]; the older one takes no process.
CODE = """
import inspect, json, sys
sys.path.insert(0, sys.argv[1])
from livekit_deploy_hook import Gate, decide
takes = "process" in inspect.signature(decide).parameters
for metadata, process in json.load(sys.stdin):
    print(decide(metadata, sys.argv[2], Gate.OPEN, *([process] if takes else [])).value)
"""


def decided(hook: Path, *asked: tuple[str, str]) -> list[str]:
    argv = [sys.executable, "-I", "-c", CODE, str(hook), HERE]
    return subprocess.run(argv, input=json.dumps(asked), capture_output=True, text=True, check=True).stdout.split()


def variables(**changes: Any) -> dict[str, Any]:
    known = {
        "running": True,
        "instance": HERE,
        "release": HERE[2:],
        "agent_name": "n",
        "worker_id": "AW_1",
        "hook_process": OURS,
    }
    release = {"id": HERE[2:], "agent_name": "n", "services": ["agent-worker"]}
    reading = {"release": release, "states": {HERE[2:]: "serving"}, "workers": [{**known, **changes}]}
    return {"__verification_read": reading, "livekit_agent_name": "n", "livekit_agent_hook": True}


def sent(**changes: Any) -> dict[str, str]:
    """The metadata of the directed and the reject-through probe of a verification."""
    found = probes.verification_probes(
        Runs({"a": variables(**changes)}), ["a"], None, {"samples": 0, "spacing_seconds": 0.0}
    )
    by_id: Any = {probe["id"]: {"kind": "probe", **probe} for probe in found}
    return {name: probe_metadata(by_id[name], "n") for name in ("a/directed", "n/through")}


def test_copy_of_a_host_is_seen_by_both_probes() -> None:
    metadata = sent()
    asked = [(metadata[name], process) for name in ("a/directed", "n/through") for process in (OURS, COPY)]
    assert decided(SOURCE, *asked) == ["answer", "pass", "pass", "answer"]


@pytest.mark.parametrize("changes", [{}, {"hook_process": None}], ids=["its log line is there", "its log line is gone"])
def test_image_with_the_hook_of_before_is_proven(changes: dict[str, Any]) -> None:
    metadata = sent(**changes)
    assert decided(WHEEL, (metadata["a/directed"], ""), (metadata["n/through"], "")) == ["answer", "pass"]


def test_worker_whose_line_is_gone_is_asked_by_its_instance() -> None:
    metadata = sent(hook_process=None)
    assert decided(SOURCE, (metadata["a/directed"], OURS), (metadata["n/through"], OURS)) == ["answer", "pass"]


def line(message: str, **extra: Any) -> str:
    return json.dumps({"message": message, **extra})


@pytest.mark.parametrize(
    ("lines", "process"),
    [
        pytest.param(
            [line("request handler is guarded", hook_process=OURS), line("starting worker")], OURS, id="by the launcher"
        ),
        pytest.param(
            [line("starting worker"), line("probe passed on", hook_process=OURS)], OURS, id="by guard() in the code"
        ),
        pytest.param([line("probe passed on", hook_process=OURS), line("starting worker")], None, id="started again"),
        pytest.param([line("request handler is guarded"), line("starting worker")], None, id="the hook of before"),
        pytest.param([line("request handler is guarded", hook_process="a#b; rm")], None, id="somebody's text"),
    ],
)
def test_process_is_read_from_the_worker_s_own_log(lines: list[str], process: str | None) -> None:
    assert worker_log.log_reading(lines)["hook_process"] == process


@pytest.mark.parametrize(("process", "blind"), [(OURS, False), (None, True)])
def test_verdict_says_whether_a_copy_would_be_seen(process: str | None, blind: bool) -> None:
    reading = {**variables(hook_process=process, guarded=True)["__verification_read"], "time": 0.0}
    member = judge.pool_member(
        observed.observed_host("a", {"agent_name": "n", "release": HERE[2:], "readings": [reading]}, {})
    )
    assert member.copied is blind
    through: Any = {"outcome": "nobody", "room": "r", "seconds": 10.0}
    found = verdicts.not_seen_by(verdicts.Evidence("n", (member,), through))
    assert (verdicts.COPY in found) is blind
