"""The usual first day: a hand-made compose project is refused, taken over under calls, brought back, replaced again."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from livekit import api

from tests.e2e.calls import CallStream, joined
from tests.e2e.harness import Container, Lab, Machine, Run, wait_for

# An application of its own on the first host, so that what the lab deployed stays as it is.
NAME, APP = "adopted-1", "adopted"
OLD, NEW = "adopted-by-hand", "adopted-of-its-own"
PROXY, OLD_PORT = 18290, 18291
PROJECT, UNRELATED = "hand-made", "unrelated"
DIRECTORY = f"/srv/{PROJECT}"
# A container of the worker's service that was started once, with another command, and has ended.
LEFTOVER = f"{PROJECT}-bot-run-once"
# A service that is neither worker nor API.
IDLE = f"{PROJECT}-idle-1"
ENVIRONMENT = {"SIDEKICK_LOAD": "0", "SIDEKICK_LOAD_THRESHOLD": "inf", "SIDEKICK_DRAIN_TIMEOUT_SECONDS": "120"}
NEVER_REGISTERS: dict[str, Any] = {
    "livekit_agent_env": {**ENVIRONMENT, "SIDEKICK_FAULT": "never_registers"},
    "livekit_agent_register_timeout_seconds": 8,
}


@dataclass(frozen=True)
class Day:
    """The host with the hand-made project, and how it was when that was planted."""

    lab: Lab
    machine: Machine
    before: dict[str, Container]

    def inventory(self, **changes: Any) -> Path:
        own = {
            "agent_release_app": APP,
            "agent_api_ports": [18292, 18293],
            "api_proxy_listen_port": PROXY,
            "verification_preview": {"url": self.url},
            "livekit_agent_name": NEW,
            **changes,
        }
        return self.lab.inventory_of(f"{APP}-{time.time_ns()}", self.lab.newcomer(NAME, self.machine.address, **own))

    @property
    def url(self) -> str:
        return f"http://{self.machine.address}:{PROXY}/v1/preview"

    def play(self, playbook: str = "deploy.yml", extra_vars: dict[str, Any] | None = None, **changes: Any) -> Run:
        return self.lab.play(playbook, inventory=self.inventory(**changes), limit=NAME, extra_vars=extra_vars)

    def under_calls(
        self, playbook: str = "deploy.yml", extra_vars: dict[str, Any] | None = None, **changes: Any
    ) -> Step:
        with CallStream(self.url, self.lab.document["livekit"]) as stream:
            time.sleep(1)
            run = self.play(playbook, extra_vars, **changes)
        assert run.rc == 0, run.stdout
        return Step(run, stream, by_name(self.machine), self.record())

    def record(self) -> dict[str, Any]:
        """Of the release that serves."""
        record: dict[str, Any] = json.loads(self.machine.sh(f"cat /opt/{APP}/current/release.json"))
        return record


@dataclass(frozen=True)
class Step:
    run: Run
    stream: CallStream
    containers: dict[str, Container]
    record: dict[str, Any]


@dataclass(frozen=True)
class Adopted:
    """The adoption under calls, one outlasts it; ``later`` are the containers once that ended and a run cleared up."""

    step: Step
    in_the_call: bool
    exit_status: str
    later: dict[str, Container]


def client(lab: Lab) -> api.LiveKitAPI:
    livekit = lab.document["livekit"]
    return api.LiveKitAPI(livekit["url"], livekit["api_key"], livekit["api_secret"])


async def call(lab: Lab, room: str) -> None:
    """A call to the hand-made worker that does not end by itself."""
    agents = [api.RoomAgentDispatch(agent_name=OLD)]
    async with client(lab) as livekit:
        await livekit.room.create_room(api.CreateRoomRequest(name=room, empty_timeout=600, agents=agents))
        assert await joined(livekit, room)


async def hang_up(lab: Lab, room: str) -> bool:
    """End the call; whether the agent was in it until now."""
    async with client(lab) as livekit:
        present = await joined(livekit, room)
        await livekit.room.delete_room(api.DeleteRoomRequest(room=room))
        return present


def by_name(machine: Machine) -> dict[str, Container]:
    return {str(c.inspected["Name"]).lstrip("/"): c for c in machine.containers(every=True)}


def of(project: str, containers: dict[str, Container]) -> dict[str, Container]:
    return {name: c for name, c in containers.items() if c.project == project and name != LEFTOVER}


def runs(container: Container) -> bool:
    return bool(container.inspected["State"]["Running"])


def policies(containers: dict[str, Container]) -> set[str]:
    """Of worker and API; the project's other service stays as it is."""
    return {c.settings["RestartPolicy"]["Name"] for name, c in of(PROJECT, containers).items() if name != IDLE}


def compose_files(lab: Lab, worker: str, api: str) -> dict[str, dict[str, Any]]:
    livekit = {f"LIVEKIT_{key.upper()}": lab.document["livekit"][key] for key in ("url", "api_key", "api_secret")}
    common = {
        "restart": "always",
        "environment": {**livekit, **ENVIRONMENT, "LIVEKIT_AGENT_NAME": OLD, "AGENT_NAME": OLD},
    }
    idle = {"image": worker, "command": ["sleep", "infinity"], "init": True, "restart": "always"}
    bot = {**common, "image": worker, "stop_grace_period": "120s"}
    web = {**common, "image": api, "ports": [f"{OLD_PORT}:8080"]}
    return {PROJECT: {"bot": bot, "web": web, "idle": idle}, UNRELATED: {"idle": idle}}


def plant(lab: Lab, machine: Machine) -> None:
    """What somebody has done by hand."""
    images = [machine.service(name).image for name in ("agent-worker", "fastapi")]
    for project, services in compose_files(lab, *images).items():
        document = shlex.quote(json.dumps({"services": services}))
        machine.sh(
            f"umask 077; mkdir -p /srv/{project}; cd /srv/{project}; printf %s {document} >compose.yml; "
            "docker compose up -d"
        )
    # After the worker: the newest container is listed first.
    machine.sh(f"cd {DIRECTORY}; docker compose run -d --no-deps --name {LEFTOVER} bot true && docker wait {LEFTOVER}")
    wait_for(machine, f"docker logs {PROJECT}-bot-1", '"registered worker"')


def clean(machine: Machine) -> None:
    machine.sh(
        # What `docker compose run` made is not of a service, so `down` leaves it.
        f"for c in $(docker ps -aq --filter label=com.docker.compose.project={PROJECT}); do docker rm -f $c; done; "
        f"for d in /srv/{PROJECT} /srv/{UNRELATED} /opt/{APP}/releases/*; do "
        "[ ! -e $d/compose.yml ] || docker compose --project-directory $d down --timeout 1; done; "
        f"rm -rf /opt/{APP} /srv/{PROJECT} /srv/{UNRELATED} /etc/nginx/conf.d/livekit-agent-deploy-{APP}.conf "
        f"/etc/nginx/livekit-agent-deploy/{APP}.upstream.conf /var/log/nginx/{APP}.*; systemctl reload nginx"
    )


@pytest.fixture(scope="module")
def day(deployed: Lab, first: Machine) -> Iterator[Day]:
    clean(first)
    try:
        plant(deployed, first)
        first.sh(f"install -d -m 0750 -g livekit-agent /opt/{APP}/releases")
        made = Day(deployed, first, by_name(first))
        site = made.play("tests/e2e/matrix.yml")
        assert site.rc == 0, site.stdout
        yield made
    finally:
        clean(first)


@pytest.fixture(scope="module")
def refused(day: Day) -> Run:
    return day.play()


@pytest.fixture(scope="module")
def failed(day: Day, refused: Run) -> Run:
    assert refused.rc != 0
    return day.play(livekit_agent_adopt_project=PROJECT, **NEVER_REGISTERS)


@pytest.fixture(scope="module")
def adoption(day: Day, failed: Run) -> Adopted:
    assert failed.rc != 0
    room = f"{APP}-{time.time_ns()}"
    asyncio.run(call(day.lab, room))
    step = day.under_calls(livekit_agent_adopt_project=PROJECT)
    there = asyncio.run(hang_up(day.lab, room))
    status = day.machine.sh(f"timeout 60 docker wait {PROJECT}-bot-1")
    cleared = day.play()
    assert cleared.rc == 0, cleared.stdout
    return Adopted(step, there, status, by_name(day.machine))


@pytest.fixture(scope="module")
def adopted(adoption: Adopted) -> Step:
    return adoption.step


@pytest.fixture(scope="module")
def back(day: Day, adopted: Step) -> Step:
    assert adopted.run.rc == 0
    return day.under_calls("playbooks/rollback.yml", {"rollback_to": "previous"})


@pytest.fixture(scope="module")
def again(day: Day, back: Step) -> Step:
    """The inventory's release, under the name that the hand-made worker has, too."""
    assert back.run.rc == 0
    return day.under_calls(livekit_agent_name=OLD)


def test_hand_made_worker_is_refused_and_named_with_both_ways_out(refused: Run, day: Day) -> None:
    reason = refused.reason(NAME)
    named = f"compose project {PROJECT} with a worker, container {PROJECT}-bot-1, agent name '{OLD}', in {DIRECTORY}"
    assert (refused.rc != 0, named in reason) == (True, True), reason
    assert f"livekit_agent_adopt_project: {PROJECT}" in reason
    assert f"livekit_agent_leave_projects: [{PROJECT}]" in reason
    assert refused.changed == {}
    assert day.machine.sh(f"ls -A /opt/{APP}/releases") == ""


def test_failed_first_release_leaves_the_project_serving(failed: Run, day: Day) -> None:
    now = by_name(day.machine)
    assert failed.rc != 0
    assert {name: c.identity for name, c in now.items()} == {name: c.identity for name, c in day.before.items()}
    assert f"127.0.0.1:{OLD_PORT};" in day.machine.sh(f"cat /etc/nginx/livekit-agent-deploy/{APP}.upstream.conf")
    assert day.record()["adopted"]["project"] == PROJECT


def test_adoption_loses_no_request_and_no_dispatch(adopted: Step) -> None:
    assert len(adopted.stream.calls) > 60
    assert adopted.stream.lost == []


def test_release_is_proven_as_any_other(adopted: Step) -> None:
    row = adopted.run.row(NAME)
    assert (row["verdict"], row["agent_name"], [check["name"] for check in row["checks"] if not check["ok"]]) == (
        "exclusive",
        NEW,
        [],
    )


def test_call_of_the_hand_made_worker_outlasts_the_adoption(adoption: Adopted) -> None:
    running = {name for name, c in of(PROJECT, adoption.step.containers).items() if runs(c)}
    assert running == {f"{PROJECT}-bot-1", IDLE}
    assert (adoption.in_the_call, adoption.exit_status) == (True, "0")


def test_worker_and_api_of_the_project_are_stopped_and_kept(adoption: Adopted, day: Day) -> None:
    mine = of(PROJECT, adoption.later)
    assert {name: c.id for name, c in mine.items()} == {name: c.id for name, c in of(PROJECT, day.before).items()}
    assert [name for name, c in mine.items() if runs(c)] == [IDLE]
    assert mine[IDLE].identity == day.before[IDLE].identity
    assert (policies(day.before), policies(adoption.later)) == ({"always"}, {"unless-stopped"})


def test_report_names_the_project_and_the_way_back(adopted: Step) -> None:
    said = "\n".join(adopted.run.report["notes"])
    assert f"{NAME}: compose project {PROJECT} ({DIRECTORY}) is adopted as release {adopted.record['previous']}" in said
    assert f"{IDLE} (running): left as it is" in said
    assert f"playbooks/rollback.yml --limit {NAME} -e rollback_to={adopted.record['previous']}" in said
    assert f"{NAME} no longer serves {OLD}: nobody serves it" in said


def test_rollback_loses_no_request_and_no_dispatch(back: Step) -> None:
    assert len(back.stream.calls) > 60
    assert back.stream.lost == []


def test_rollback_brings_its_own_containers_back(back: Step, adopted: Step, day: Day) -> None:
    mine = of(PROJECT, back.containers)
    assert {name: (c.id, runs(c)) for name, c in mine.items()} == {
        name: (c.id, True) for name, c in of(PROJECT, day.before).items()
    }
    assert policies(back.containers) == {"always"}
    assert (back.record["id"], back.record["rolled_back"]["kind"]) == (adopted.record["previous"], "release")
    assert of(f"{APP}-{adopted.record['id'].lower()}", back.containers) == {}


def test_project_that_is_back_is_proven(back: Step) -> None:
    row = back.run.row(NAME)
    failed = [check for check in row["checks"] if not check["ok"]]
    assert (row["verdict"], row["agent_name"], row["on_purpose"]["kind"], failed) == ("exclusive", OLD, "release", [])


def test_next_deployment_returns_to_the_inventory_and_loses_nothing(again: Step, back: Step, day: Day) -> None:
    assert len(again.stream.calls) > 60
    assert again.stream.lost == []
    assert (again.record["agent_name"], again.record["previous"], again.record["rolled_back"]) == (
        OLD,
        back.record["id"],
        None,
    )
    assert f"{NAME}: had been rolled back to {OLD}" in "\n".join(again.run.report["notes"])
    mine = of(PROJECT, again.containers)
    assert {name: (c.id, runs(c)) for name, c in mine.items()} == {
        name: (c.id, name == IDLE) for name, c in of(PROJECT, day.before).items()
    }
    assert again.run.row(NAME)["verdict"] == "exclusive"


def test_what_was_run_once_is_kept_and_never_started_again(again: Step, day: Day) -> None:
    assert again.containers[LEFTOVER].identity == day.before[LEFTOVER].identity


def test_what_is_not_of_the_project_was_never_touched(again: Step, day: Day) -> None:
    ours = (PROJECT, *(name for name in {c.project for c in again.containers.values()} if name.startswith(f"{APP}-2")))
    left = {name: c.identity for name, c in again.containers.items() if c.project not in ours}
    assert left == {name: c.identity for name, c in day.before.items() if c.project != PROJECT}
    assert (UNRELATED in {c.project for c in again.containers.values()}, day.machine.sh(f"ls {DIRECTORY}")) == (
        True,
        "compose.yml",
    )
