"""Releases of a worker only, and what a release takes from its host: volumes, networks, Compose's word on its file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.release import containers, content, refusal, state
from ansible.module_utils.livekit_deploy.release.errors import ReleaseError
from ansible.module_utils.livekit_deploy.release.plan import Goal, Order
from ansible.module_utils.livekit_deploy.release.store import Releases

from tests.unit.module_utils.release import test_begin
from tests.unit.module_utils.release.test_begin import LATER, ORDER, begin, deploy
from tests.unit.module_utils.standin_machine import Machine

WORKER_ONLY = content.given_content(
    "name: x\n", {"agent-worker": {"LIVEKIT_AGENT_NAME": "name-a"}}, {}, ["agent-worker"]
)
ALONE = replace(ORDER, goal=Goal(content=WORKER_ONLY), images={"agent-worker": "r/w@sha256:1"})
run = test_begin.run


def document(**parts: Any) -> tuple[int, str, str]:
    return 0, json.dumps(parts), ""


def test_worker_only_has_no_port_and_no_file_of_an_api(run: Any, machine: Machine) -> None:
    plan = deploy(run, machine, ALONE)["plan"]
    record = run.releases.record(plan["id"])
    assert (plan["api_port"], plan["services"], sorted(record["files"])) == (
        None,
        ["agent-worker"],
        ["agent-worker.env", "compose.yml"],
    )


def test_worker_only_needs_no_proxy(run: Any, machine: Machine) -> None:
    run.releases.upstream.unlink()
    deploy(run, machine, ALONE)
    assert machine.asked("nginx") == machine.asked("systemctl") == []
    assert not run.releases.upstream.exists()
    assert state.release_info(run.releases)["drift"] == []


def test_worker_only_needs_no_nginx() -> None:
    def command(argv: Any) -> tuple[int, str, str]:
        return (127, "", "") if argv[0] == "nginx" else (0, "2.26.1", "")

    assert refusal.missing_on_host(command, "/", None) == []
    assert "nginx" in refusal.missing_on_host(command, "/", "/nowhere/x")


@pytest.mark.parametrize(("first", "second"), [(ORDER, ALONE), (ALONE, ORDER)], ids=["loses its API", "gets an API"])
def test_proxy_follows_what_has_an_api(run: Any, machine: Machine, first: Order, second: Order) -> None:
    deploy(run, machine, first)
    deploy(run, machine, replace(second, stamp=LATER))
    text = run.releases.upstream.read_text()
    assert ("down" in text) == (second is ALONE)
    assert state.release_info(run.releases)["drift"] == []


def test_content_of_a_worker_only_is_read_back(run: Any, machine: Machine) -> None:
    plan = deploy(run, machine, ALONE)["plan"]
    assert run.releases.content(plan["id"]) == WORKER_ONLY


def test_compose_that_writes_no_json_leaves_nothing(run: Any, machine: Machine) -> None:
    machine.config = (0, "name: app-1\nservices: {}\n", "")  # as Compose 2.25 does
    with pytest.raises(ReleaseError, match=r"writes no JSON, expected .*Compose 2\.24 or newer, not 2\.25"):
        deploy(run, machine, ALONE)
    assert [path.name for path in run.releases.home.iterdir()] == []


def test_file_that_compose_refuses_leaves_nothing(run: Any, machine: Machine) -> None:
    machine.config = (15, "", "services.agent-worker.cpus must be a number")
    with pytest.raises(ReleaseError, match=r"Compose refuses the release's file: services\.agent-worker\.cpus must"):
        begin(run)
    assert run.releases.records() == []
    assert run.lock.read().owner is None


def test_network_that_is_not_there_is_refused(run: Any, machine: Machine) -> None:
    machine.config = document(
        networks={"backend": {"name": "backend", "external": True}, "default": {"name": "app-1_default"}}
    )
    with pytest.raises(ReleaseError, match="no network backend, expected it"):
        begin(run)
    machine.networks = {"bridge": "", "backend": "theirs"}
    assert begin(run)["plan"]["changed"]


def test_volume_is_made_before_what_mounts_it(host: Releases, machine: Machine) -> None:
    machine.config = document(volumes={"data": {"name": "data", "external": True}})
    host.stage(
        {"id": "20260101T000000Z-00000001", "app": "app", "agent_name": "n", "api_port": 1, "hash": "h"},
        {"compose.yml": "x"},
    )
    refusal.settle_file(host, "20260101T000000Z-00000001")
    containers.start_service(host, "20260101T000000Z-00000001", "agent-worker")
    made = machine.commands.index(["docker", "volume", "create", "data"])
    started = next(n for n, argv in enumerate(machine.commands) if "up" in argv)
    assert made < started
