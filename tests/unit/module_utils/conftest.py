# SPDX-License-Identifier: Apache-2.0
"""A host with a stand-in for its command lines. What a diagnosis reads of a fleet where nothing is wrong: two hosts,
each with a name of its own, and a suspect with another name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.release.proxy import upstream_text
from ansible.module_utils.livekit_deploy.release.store import Releases

from tests.unit.module_utils.standin_machine import Machine

NOW = 1_767_323_400.0  # 2026-01-02T03:10:00Z
SINCE = NOW - 3600
STARTED = NOW - 3950  # 2026-01-02T02:04:10Z
URL = "ws://livekit.test:7880"
RELEASE = "20260102T020405Z-0a1b2c3d"


def reach(begins: float, **changes: Any) -> dict[str, Any]:
    """How far a reading goes back."""
    return {"begins": begins, "ends": NOW, "whole": True, "why": "", **changes}


def worker(container: str, worker_id: str, agent_name: str, **changes: Any) -> dict[str, Any]:
    known = {
        "kind": "container",
        "container": container,
        "project": "other",
        "pid": 4711,
        "release": None,
        "running": True,
        "exit_code": None,
        "started_at": "2026-01-02T02:04:10.123456789Z",
        "restarts": 0,
        "agent_name": agent_name,
        "worker_id": worker_id,
        "worker_ids": [worker_id],
        "registered_since": "2026-01-02T02:04:15+00:00",
        "registrations": ["2026-01-02T02:04:15+00:00"],
        "url": URL,
        "configured_url": URL,
        "deployment": "",
        "connected": True,
        "draining": False,
        "full": False,
        "load": 0.1,
        "active_jobs": 0,
        "sdk_version": "1.8.9",
        "override": None,
        "env": {"AGENT_NAME": agent_name, "LIVEKIT_AGENT_NAME": agent_name},
        "unauthorized": 0,
        "failures": 0,
        "last_failure": None,
        "unanswered": 0,
        "late": 0,
        "entrypoint_errors": 0,
        "last_entrypoint_error": None,
        "oom_killed": False,
        "troubles": {},
        "unknown_errors": 0,
        "last_unknown_error": None,
        "reach": reach(STARTED),
        "passed_on": 0,
        "guarded": True,
        "requests": [],
        "last_lines": ["INFO: registered worker"],
        "start_command": f"docker start {container}",
    }
    return {**known, **changes}


def request(number: str, agent_name: str) -> dict[str, Any]:
    ids = {"job_id": f"AJ_{number}", "dispatch_id": f"AD_{number}", "room": f"room-{number}"}
    return {**ids, "agent_name": agent_name, "time": "2026-01-02T03:00:00+00:00"}


def agent_host(name: str) -> dict[str, Any]:
    agent_name, container = f"support-{name}", f"app-{name}-agent-worker-1"
    env = {"AGENT_NAME": agent_name, "LIVEKIT_AGENT_NAME": agent_name}
    written = {**env, "LIVEKIT_URL": URL}
    calls = [request(f"{name}-{number}", agent_name) for number in range(2)]
    mine = worker(container, f"AW_{name}", agent_name, release=RELEASE, project=f"app-{RELEASE}", requests=calls)
    evidence = {
        "release": {"id": RELEASE, "agent_name": agent_name, "served_at": "2026-01-02T02:05:00Z"},
        "states": {RELEASE: "serving"},
        "services": {
            "fastapi": {"container": f"app-{name}-fastapi-1", "running": True, "env": dict(env)},
            "agent-worker": {"container": container, "running": True, "env": dict(env)},
        },
        "drift": [],
        "missing": [],
        "workers": [mine],
        "time": NOW,
        "since": SINCE,
        "until": NOW,
        "clock_skew_seconds": 0.2,
        "gate": "open",
        "written": {"fastapi": dict(written), "agent-worker": dict(written)},
        "proxy": {
            "read": True,
            "path": "/var/log/nginx/access.log",
            "requests": 2,
            "by_status": {"200": 2},
            "last": NOW - 600,
            "reach": reach(SINCE),
        },
        "api": {
            "read": True,
            "container": f"app-{name}-fastapi-1",
            "url": URL,
            "agent_names": {agent_name: 2},
            "dispatches": [{key: call[key] for key in ("room", "dispatch_id", "agent_name", "time")} for call in calls],
            "failed": 0,
            "last_failure": None,
            "reach": reach(STARTED),
        },
        "unread": [],
    }
    known = {
        "agent_name": agent_name,
        "pool": name,
        "livekit_url": URL,
        "group": "agent_hosts",
        "app": "app",
        "address": "10.0.0.1",
    }
    return {**known, "shared_name": "support", "evidence": evidence, "witness": [], "unread": ""}


def row(name: str) -> dict[str, Any]:
    routing = {
        "reason": "ours alone",
        "method": "reject-through probe",
        "seconds": 10.0,
        "not_seen": ["draining"],
        "foreign": [],
    }
    return {"agent_name": f"support-{name}", "verdict": "exclusive", "worker_ids": [f"AW_{name}"], "routing": routing}


def healthy() -> dict[str, Any]:
    """Keyword arguments of World."""
    suspect = {
        "group": "suspects",
        "unread": "",
        "evidence": {"time": NOW, "workers": [worker("other-worker-1", "AW_other", "other")]},
    }
    hosts = {"one": agent_host("one"), "two": agent_host("two"), "other-1": suspect}
    probes = {}
    for name in ("one", "two"):
        room = f"livekit-deploy-probe-{name}"
        taken = {"outcome": "taken", "worker_id": f"AW_{name}", "status": "JS_SUCCESS", "latency_seconds": 0.21}
        probes[f"{name}/directed"] = {**taken, "job_id": f"AJ_{name}", "room": room}
        probes[f"support-{name}/through"] = {"outcome": "nobody", "room": f"{room}-through", "seconds": 10.0}
    return {
        "data": hosts,
        "probes": probes,
        "verdicts": {"one": row("one"), "two": row("two")},
        "server": {"reachable": True, "key_accepted": True, "seconds": 0.02},
        "server_logs": [],
        "sip": {"checked": True, "rules": []},
        "rooms": {},
    }


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def host(tmp_path: Path, machine: Machine) -> Releases:
    (tmp_path / "app/releases").mkdir(parents=True)
    upstream = tmp_path / "upstream.conf"
    upstream.write_text(upstream_text("app", None))
    return Releases(machine.run, "app", str(tmp_path / "app"), str(upstream))


@pytest.fixture
def fleet() -> dict[str, Any]:
    return copy.deepcopy(healthy())


@pytest.fixture
def make_worker() -> Any:
    return worker
