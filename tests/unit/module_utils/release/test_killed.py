"""A module that dies at any write or command of a switch: what serves goes on, before the next run and after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import docker
from ansible.module_utils.livekit_deploy.release import (
    abandon,
    adopted,
    containers,
    content,
    drain,
    records,
    store,
    switch,
)
from ansible.module_utils.livekit_deploy.release.begin import begin_run
from ansible.module_utils.livekit_deploy.release.drain import Ending
from ansible.module_utils.livekit_deploy.release.lock import Claim, Owner
from ansible.module_utils.livekit_deploy.release.plan import Goal, Order
from ansible.module_utils.livekit_deploy.release.proxy import upstream_text
from ansible.module_utils.livekit_deploy.release.records import Record
from ansible.module_utils.livekit_deploy.release.run import Deployment
from ansible.module_utils.livekit_deploy.release.store import Releases

from tests.unit.module_utils.standin import Told
from tests.unit.module_utils.standin_machine import Machine

OLD, NEW = "20260101T000000Z-00000001", "20260102T000000Z-00000002"
PORTS = {18101: OLD, 18102: NEW}
CHANGES = {*(("docker", verb) for verb in ("kill", "stop", "start", "update", "rm")), ("systemctl", "reload")}


class Killed(BaseException):
    """The end of the process; no code of ours catches it."""


class World:
    """A host whose process dies at the given operation; knows which port nginx has loaded and who was told to stop."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = Machine()
        self.left: int | None = None
        self.signalled: list[str] = []
        upstream = root / "upstream.conf"
        upstream.write_text(upstream_text("app", None))
        self.loaded = upstream.read_text()
        (root / "app/releases").mkdir(parents=True)
        self.releases = Releases(Told(self.run), "app", str(root / "app"), str(upstream))
        write = store.write_atomically
        for module in (store, containers, switch):
            monkeypatch.setattr(module, "write_atomically", lambda *args: self.counted(lambda: write(*args)))
        point = self.releases.point_to
        monkeypatch.setattr(self.releases, "point_to", lambda wanted: self.counted(lambda: point(wanted)))

    def counted(self, work: Callable[[], Any]) -> Any:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
        return work()

    def run(self, argv: Sequence[str]) -> tuple[int, str, str]:
        changes = tuple(argv[:2]) in CHANGES
        return tuple(self.counted(lambda: self.done(argv)) if changes else self.machine.run(argv))

    def done(self, argv: Sequence[str]) -> tuple[int, str, str]:
        if argv[0] == "systemctl":
            self.loaded = self.releases.upstream.read_text()
        if list(argv[:2]) == ["docker", "kill"]:
            self.signalled.append(argv[-1])
        if list(argv[:2]) == ["docker", "start"]:  # another process
            self.signalled = [container for container in self.signalled if container != argv[-1]]
        return self.machine.run(argv)

    def until_killed(self, operations: int, work: Callable[[], Any]) -> bool:
        """Do the work, at most so many operations of it; whether it was killed."""
        self.left = operations
        try:
            work()
        except Killed:
            return True
        finally:
            self.left = None
        return False

    def running(self, service: str) -> list[str]:
        found = [
            c
            for c in self.machine.containers
            if c["State"]["Running"] and docker.labels(c)[docker.SERVICE_LABEL] == service
        ]
        return [release_id for release_id in (OLD, NEW) for c in found if c["Id"].startswith(release_id)]

    def troubles(self) -> list[str]:
        """What a caller would notice."""
        port = next((port for port in PORTS if f":{port};" in self.loaded), None)
        found = (
            [] if port and PORTS[port] in self.running("fastapi") else [f"nginx points to {port}, where no API runs"]
        )
        names = {r["id"]: r["agent_name"] for r in self.releases.records()}
        open_ = [
            r
            for r in self.running("agent-worker")
            if self.releases.gate(r) == "open" and f"{r}-agent-worker" not in self.signalled
        ]
        wanted = names.get(PORTS[port]) if port else None
        return found + ([] if any(names[r] == wanted for r in open_) else [f"no worker takes jobs of {wanted}"])


def stage(world: World, release_id: str, port: int, name: str) -> None:
    record: Record = {"id": release_id, "app": "app", "agent_name": name, "api_port": port, "hash": release_id[-8:]}
    world.releases.stage(record, {"compose.yml": "", "fastapi.env": ""})
    world.machine.start(release_id)


@pytest.fixture(params=["name", "other"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The old release serves; the new one, under the same name or another, is proven behind its gate."""
    made = World(tmp_path, monkeypatch)
    stage(made, OLD, 18101, "name")
    switch.serve(made.releases, OLD)
    stage(made, NEW, 18102, request.param)
    yield made
    assert len(made.signalled) == len(set(made.signalled)), "a worker got a second signal"


def next_run(world: World) -> None:
    """What the next run does before anything else; here it does not wait for workers."""
    switch.recover(world.releases)
    drain.retire_all(world.releases, Ending(0.0, keep=3))


OPERATIONS = range(16)


@pytest.mark.parametrize("operations", OPERATIONS)
def test_switch_that_is_killed_anywhere_leaves_a_release_that_serves(world: World, operations: int) -> None:
    world.until_killed(operations, lambda: switch.serve(world.releases, NEW))
    assert world.troubles() == []
    next_run(world)
    assert world.troubles() == []


@pytest.mark.parametrize("operations", OPERATIONS)
def test_switch_that_fails_anywhere_is_taken_back_or_serves(world: World, operations: int) -> None:
    if world.until_killed(operations, lambda: switch.serve(world.releases, NEW)):
        abandon.take_back(world.releases, NEW)
    assert world.troubles() == []
    next_run(world)
    assert world.troubles() == []


@pytest.mark.parametrize("operations", OPERATIONS)
def test_way_back_that_is_killed_anywhere_leaves_a_release_that_serves(world: World, operations: int) -> None:
    switch.serve(world.releases, NEW)
    world.until_killed(operations, lambda: abandon.take_back(world.releases, NEW))
    assert world.troubles() == []
    next_run(world)
    assert world.troubles() == []


@pytest.mark.parametrize("operations", OPERATIONS)
def test_clearing_that_is_killed_anywhere_is_done_by_the_next_run(world: World, operations: int) -> None:
    """The switch was killed when nginx had reloaded; the worker that may have calls takes its time."""
    world.machine.drains = False
    world.until_killed(4, lambda: switch.serve(world.releases, NEW))
    assert "18102" in world.loaded
    world.until_killed(operations, lambda: next_run(world))
    assert world.troubles() == []
    next_run(world)
    assert world.troubles() == []
    assert world.running("fastapi") == [OLD]


def test_enough_operations_were_tried(world: World) -> None:
    """Otherwise the last ones of a switch were never reached."""
    assert not world.until_killed(OPERATIONS[-1], lambda: switch.serve(world.releases, NEW))


def test_worker_whose_end_was_noted_and_never_told_is_told_when_it_is_idle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch.serve(world.releases, NEW)
    world.releases.save(world.releases.record(OLD) or {}, drain_started_at="2026-01-01T00:00:00Z")
    drain.retire_all(world.releases, Ending(0.0, keep=3))
    assert world.signalled == []
    monkeypatch.setattr(drain, "may_have_calls", lambda *_: False)
    drain.retire_all(world.releases, Ending(0.0, keep=3))
    assert world.signalled == [f"{OLD}-agent-worker"]


def test_release_that_does_not_run_is_none_to_go_back_to(world: World) -> None:
    switch.serve(world.releases, NEW)
    world.machine.stop(f"{OLD}-fastapi", ends=True)
    assert abandon.take_back(world.releases, NEW)["serving"] == NEW
    assert world.troubles() == []


def test_worker_without_the_hook_may_have_calls_before_the_switch(world: World) -> None:
    world.releases.save(world.releases.record(NEW) or {}, hook=False)
    world.machine.drains = False
    assert abandon.take_back(world.releases, NEW)["draining"] == [NEW]
    assert (records.GATE_OPEN.strip(), world.signalled) == (world.releases.gate(OLD), [f"{NEW}-agent-worker"])


# --- a release that is being written ----------------------------------------------------------------------------------


class Writing(World):
    """A host on which a run writes its first release, with secrets."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root, monkeypatch)
        self.deployment = Deployment(self.releases)
        env = {name: {"LIVEKIT_AGENT_NAME": "name"} for name in records.SERVICES}
        self.content = content.given_content("", env, {name: {"KEY": "s" * 32} for name in records.SERVICES})

    def begin(self, stamp: str) -> str:
        owner = Owner("m1", 10, "100", "anna@ci")
        order = Order(
            Goal(content=self.content), stamp, "a", list(PORTS), dict.fromkeys(records.SERVICES, "i"), {"app": "app"}
        )
        return str(
            begin_run(self.deployment.releases, Claim(owner, "deploy", alive=frozenset({owner.key})), 0.0, order)[
                "plan"
            ]["id"]
        )

    def secrets(self) -> set[str]:
        return {
            path.parent.name
            for path in self.releases.home.rglob("*")
            if path.is_file() and "s" * 32 in path.read_text()
        }


WRITES = range(8)


@pytest.mark.parametrize("operations", WRITES)
def test_secret_of_a_release_whose_writing_was_killed_is_gone_after_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operations: int
) -> None:
    world = Writing(tmp_path, monkeypatch)
    world.until_killed(operations, lambda: world.begin("20260101T000000Z"))
    assert world.secrets() <= {record["id"] for record in world.releases.records()}, "a secret without a record"
    for directory in world.releases.home.iterdir():  # killed within a write
        (directory / ".fastapi.env.partial").write_text("s" * 32)
    wanted = world.begin("20260102T000000Z")
    assert (world.secrets(), [path.name for path in world.releases.home.iterdir()]) == ({wanted}, [wanted])


@pytest.mark.parametrize("operations", WRITES)
def test_clearing_of_what_was_being_written_can_be_killed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operations: int
) -> None:
    world = Writing(tmp_path, monkeypatch)
    world.until_killed(4, lambda: world.begin("20260101T000000Z"))
    world.until_killed(operations, lambda: world.begin("20260102T000000Z"))
    wanted = world.begin("20260103T000000Z")
    assert world.secrets() == {wanted}


def test_enough_writes_were_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Writing(tmp_path, monkeypatch)
    assert not world.until_killed(WRITES[-1], lambda: world.begin("20260101T000000Z"))


# --- a hand-made project that is taken over --------------------------------------------------------------------------


class FirstDay(World):
    """A host with a hand-made project and no release; a run that deploys or brings the project back, as a whole."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, agent_name: str) -> None:
        super().__init__(root, monkeypatch)
        self.deployment, self.stamps = Deployment(self.releases), iter(range(1, 29))
        registered = '{"message": "registered worker", "agent_name": "name", "id": "AW_old"}'
        self.machine.hand_made(
            "seed", bot={"env": ["LIVEKIT_AGENT_NAME=name"], "log": registered}, web={"port": 9000}, cache={}
        )
        self.goal = Goal(content=content.given_content("", {"agent-worker": {"LIVEKIT_AGENT_NAME": agent_name}}, {}))
        monkeypatch.setattr(adopted, "answers", lambda *_: True)
        monkeypatch.setattr(drain.time, "sleep", lambda _: None)
        # Where it was noted and not told that it is to stop, it says itself that it is idle.
        monkeypatch.setattr(drain, "may_have_calls", lambda *_: False)

    def order(self, goal: Goal) -> Order:
        stamp = f"202601{next(self.stamps):02}T000000Z"
        images = dict.fromkeys(records.SERVICES, "i")
        return Order(goal, stamp, "a", list(PORTS), images, {"app": "app", "hook": True}, adopt="seed")

    def begin(self, goal: Goal) -> Any:
        owner = Owner("m1", 10, "100", "anna@ci")
        return begin_run(
            self.deployment.releases, Claim(owner, "deploy", alive=frozenset({owner.key})), 0.0, self.order(goal)
        )

    def play(self, goal: Goal) -> None:
        answer = self.begin(goal)
        wanted = answer["plan"]["id"]
        if not answer["plan"]["changed"]:
            return
        if answer["plan"]["adopted"]:
            for service in ("agent-worker", "fastapi"):
                containers.start_service(self.releases, wanted, service)
        else:
            self.machine.start(wanted)
        switch.serve(self.releases, wanted)
        self.deployment.end(answer["fence"], Ending(5.0, keep=3), "exclusive", "")

    def hand_made_runs(self) -> list[bool]:
        return [self.machine.container(f"seed-{service}-1")["State"]["Running"] for service in ("bot", "web", "cache")]

    def troubles(self) -> list[str]:
        served = [r for r in self.releases.records() if r["api_port"] and f":{r['api_port']};" in self.loaded]
        # Before the adoption the proxy points to nothing, and the project is what its callers use.
        if (
            all(self.hand_made_runs())
            and "seed-bot-1" not in self.signalled
            and (not served or served[-1].get("adopted"))
        ):
            return []
        found = docker.containers(self.machine.run)
        for record in served:
            services = containers.services(self.releases, record["id"], found)
            open_ = record.get("adopted") or self.releases.gate(record["id"]) == "open"
            told = "agent-worker" in services and services["agent-worker"]["id"] in self.signalled
            if open_ and not told and {name for name, s in services.items() if s["running"]} >= set(records.SERVICES):
                return []
        return [f"nobody serves what nginx points to: {self.loaded}"]


@pytest.fixture(params=["name", "other"])
def first_day(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FirstDay]:
    made = FirstDay(tmp_path, monkeypatch, request.param)
    yield made
    assert len(made.signalled) == len(set(made.signalled)), "a worker got a second signal"
    assert {"seed-bot-1", "seed-web-1", "seed-cache-1"} <= {c["Id"] for c in made.machine.containers}, (
        "something of it was removed"
    )


BACK = Goal(kind="release", release="previous")
ADOPTION = range(32)


@pytest.mark.parametrize("operations", ADOPTION)
def test_adoption_that_is_killed_anywhere_is_finished_by_the_next_run(first_day: FirstDay, operations: int) -> None:
    first_day.until_killed(operations, lambda: first_day.play(first_day.goal))
    assert first_day.troubles() == []
    first_day.begin(first_day.goal)
    assert first_day.troubles() == []
    first_day.play(first_day.goal)
    assert (first_day.troubles(), first_day.hand_made_runs()) == ([], [False, False, True])
    assert {docker.restart_policy(first_day.machine.container(f"seed-{s}-1")) for s in ("bot", "web")} == {
        "unless-stopped"
    }
    assert [r["state"] for r in first_day.releases.records() if r.get("adopted")] == ["retired"]


@pytest.mark.parametrize("operations", range(6))
def test_proxy_points_to_the_project_though_its_adoption_was_killed(first_day: FirstDay, operations: int) -> None:
    first_day.until_killed(operations, lambda: first_day.begin(first_day.goal))
    first_day.begin(first_day.goal)
    assert ":9000;" in first_day.loaded


@pytest.mark.parametrize("operations", ADOPTION)
def test_return_to_an_adopted_project_that_is_killed_anywhere_can_be_done_again(
    first_day: FirstDay, operations: int
) -> None:
    first_day.play(first_day.goal)
    killed = first_day.until_killed(operations, lambda: first_day.play(BACK))
    assert first_day.troubles() == []
    first_day.begin(first_day.goal)
    assert first_day.troubles() == []
    if killed:
        adopted = next(r for r in first_day.releases.records() if r.get("adopted"))
        if (first_day.releases.current() or {})["id"] != adopted["id"]:
            first_day.play(Goal(kind="release", release=adopted["id"]))
    assert (first_day.troubles(), first_day.hand_made_runs()) == ([], [True] * 3)
    assert {docker.restart_policy(first_day.machine.container(f"seed-{s}-1")) for s in ("bot", "web", "cache")} == {
        "always"
    }


def test_enough_operations_of_an_adoption_were_tried(first_day: FirstDay) -> None:
    assert not first_day.until_killed(ADOPTION[-1], lambda: first_day.play(first_day.goal))
    assert not first_day.until_killed(ADOPTION[-1], lambda: first_day.play(BACK))
