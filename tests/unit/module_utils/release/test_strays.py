"""What lies about: what only looks like ours, what a killed run left without record, containers of another project."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import docker
from ansible.module_utils.livekit_deploy.machine.docker import EngineError
from ansible.module_utils.livekit_deploy.release import (
    adoption,
    containers,
    drain,
    history,
    images,
    notes,
    records,
    store,
    switch,
)
from ansible.module_utils.livekit_deploy.release.drain import Ending
from ansible.module_utils.livekit_deploy.release.run import Deployment
from ansible.module_utils.livekit_deploy.release.store import Releases
from ansible.module_utils.livekit_deploy.worker import own_answer

from tests.unit.module_utils.release.test_begin import IMAGES, LATER, ORDER, begin, deploy
from tests.unit.module_utils.standin import Told
from tests.unit.module_utils.standin_machine import Machine
from tests.unit.module_utils.standin_story import switch_to

ID, OTHER = "20260101T000000Z-00000001", "20260103T000000Z-00000003"
STRANGE = ["[1,2]", "{", "", "null", "7", '"text"', "{}", "[" * 100_000, f'{{"id": "{ID}"}}', "\x00\xff"]
REGISTERED = '{"message": "registered worker", "id": "AW_1", "agent_name": "name-a"}\n'
DRAINING = REGISTERED + '{"message": "draining worker", "id": "AW_1"}'


@pytest.fixture
def run(host: Releases) -> Deployment:
    return Deployment(host)


def put(root: Path, name: str, text: str) -> Path:
    path = root / "releases" / name / "release.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    return path


@pytest.fixture(params=["2024-11-02", ID])
def beside(request: pytest.FixtureRequest) -> str:
    """The name of a release's directory of another application, of our form or nearly."""
    return str(request.param)


# --- another application's directory that looks like ours -------------------------------------------------------------


@pytest.mark.parametrize("text", STRANGE)
def test_directory_of_others_that_looks_like_ours_ends_no_run(
    run: Deployment, machine: Machine, beside: str, text: str
) -> None:
    path = put(run.releases.root.parent / "shop", beside, text)
    plan = deploy(run, machine)["plan"]
    assert ((run.releases.current() or {})["id"], run.lock.read().owner) == (plan["id"], None)
    assert [entry["outcome"] for entry in history.history_entries(run.releases.history)] == ["released"]
    assert path.read_bytes() == text.encode("latin-1")
    assert adoption.adopted_elsewhere(run.releases.root) == {}


@pytest.mark.parametrize("text", STRANGE)
def test_record_of_strange_form_is_none(tmp_path: Path, text: str) -> None:
    assert records.read_record(put(tmp_path, ID, text).parent) is None


GOOD = {"id": ID, "app": "shop", "state": "serving", "agent_name": "a", "api_port": 1, "images": {"fastapi": "r/a"}}


@pytest.mark.parametrize(
    "changes",
    [
        {"id": OTHER},
        {"state": None},
        {"api_port": "x"},
        {"images": [1]},
        {"images": {"fastapi": 1}},
        {"files": "compose.yml"},
        {"services": 3},
        {"adopted": True},
        {"adopted": {"project": 1}},
    ],
)
def test_record_with_a_field_of_another_type_is_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    put(tmp_path / "shop", ID, json.dumps({**GOOD, **changes}))
    assert list(records.recorded_images(tmp_path)) == []


def test_record_of_our_form_is_read_whatever_else_it_has(tmp_path: Path) -> None:
    put(tmp_path / "shop", ID, json.dumps({**GOOD, "of_a_later_version": [[1]]}))
    assert list(records.recorded_images(tmp_path)) == ["r/a"]


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["pipe", "directory"])
def test_what_is_no_file_has_no_text_and_is_not_waited_for(tmp_path: Path, make: Any) -> None:
    (tmp_path / ID).mkdir()
    make(tmp_path / ID / "release.json")
    assert records.read_record(tmp_path / ID) is None


def test_container_in_a_directory_that_only_looks_like_ours_is_not_ours(tmp_path: Path) -> None:
    path = put(tmp_path / "shop", ID, "[1,2]")
    labels = {docker.DIRECTORY_LABEL: str(path.parent)}
    assert adoption.is_of_a_release({"Config": {"Labels": labels}}) is False


# --- housekeeping takes nothing back ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ((images, "prune_images"), TypeError("a list has no images")),
        ((drain, "retire_all"), EngineError("the Engine does not answer")),
        ((drain, "clear_release"), EngineError("device or resource busy")),
        ((Releases, "remove"), OSError(errno.EIO, "Input/output error")),
        ((history, "append"), OSError(errno.ENOSPC, "No space left on device")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else type(value).__name__,
)
def test_housekeeping_that_fails_is_told_and_the_release_counts(
    run: Deployment, machine: Machine, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str], error: Exception
) -> None:
    first = deploy(run, machine)["plan"]["id"]
    answer = begin(run, replace(ORDER, stamp=LATER, force=True))
    run.releases.save({**(run.releases.record(first) or {}), "id": OTHER}, state="abandoned") if put(
        run.releases.root, OTHER, ""
    ) else None
    machine.start(answer["plan"]["id"])
    run.step(answer["fence"], "switch", 10.0, lambda: switch.serve(run.releases, answer["plan"]["id"]))

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(*where, fails)
    done = run.end(answer["fence"], Ending(1.0, keep=0), "exclusive", "")
    assert any(str(error.args[-1]) in text for text in done["troubles"])
    assert drain.trouble_notes("a", done["troubles"])[0].startswith("a: ")
    assert ((run.releases.current() or {})["id"], run.lock.read().owner) == (answer["plan"]["id"], None)


def test_leftover_that_cannot_be_cleared_keeps_no_release_from_being_made(
    run: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = begin(run)["plan"]["id"]

    def fails(*_: Any, **__: Any) -> bool:
        raise EngineError("device or resource busy")

    monkeypatch.setattr(drain, "clear_release", fails)
    answer = begin(run, replace(ORDER, stamp=LATER))
    assert answer["plan"]["changed"]
    assert any(
        f"a: release {old} is not ended: device or resource busy" in note
        for note in notes.plan_notes("a", answer, check=False)
    )


# --- the way back comes first -----------------------------------------------------------------------------------------


def switched(run: Deployment, machine: Machine) -> tuple[str, str, int]:
    """Old and new release after the switch, and the fence."""
    old = deploy(run, machine)["plan"]["id"]
    answer = begin(run, replace(ORDER, stamp=LATER, force=True))
    new = answer["plan"]["id"]
    machine.start(old)
    machine.start(new)
    switch_to(run, answer)
    return old, new, answer["fence"]


def test_looking_comes_after_the_way_back_and_before_the_clearing(run: Deployment, machine: Machine) -> None:
    old, _new, fence = switched(run, machine)
    machine.commands.clear()
    done = run.abandon(fence, "why")
    order = [
        c[1] for c in machine.commands if c[:2] in (["docker", "logs"], ["docker", "kill"], ["systemctl", "reload"])
    ]
    assert order[0] == "reload"
    assert order.index("logs") < order.index("kill")
    assert ((run.releases.current() or {})["id"], done["serving"]) == (old, old)
    assert "fastapi: last words" in done["log"]


@pytest.mark.parametrize(
    "error", [RecursionError("maximum recursion depth exceeded"), EngineError("no such driver"), KeyError("Id")]
)
def test_log_that_cannot_be_read_keeps_no_release_from_being_taken_back(
    run: Deployment, machine: Machine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    old, _new, fence = switched(run, machine)

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(docker, "log_lines", fails)
    done = run.abandon(fence, "why")
    assert ((run.releases.current() or {})["id"], run.releases.gate(old), done["serving"]) == (old, "open", old)
    assert any("its log cannot be read" in line for line in done["log"])


def test_engine_that_does_not_answer_keeps_the_proxy_from_nothing(run: Deployment, machine: Machine) -> None:
    old, new, fence = switched(run, machine)
    real = machine.run
    run.releases.run = Told(lambda argv: (124, "", "did not end in time") if argv[0] == "docker" else real(argv))
    done = run.abandon(fence, "why")
    assert ((run.releases.current() or {})["id"], done["serving"], "18101" in run.releases.upstream.read_text()) == (
        old,
        old,
        True,
    )
    assert any(f"what {new} has started is not cleared" in line for line in done["log"])


def test_full_disk_keeps_no_release_from_being_cleared(run: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = begin(run)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ansible.module_utils.livekit_deploy.release.lock.write_atomically", full)
    monkeypatch.setattr(history, "write_atomically", full)
    done = run.abandon(answer["fence"], "why")
    assert not run.releases.directory(answer["plan"]["id"]).exists()
    assert any("No space left on device" in line for line in done["log"])


# --- what has no record -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(6))
def test_full_disk_while_a_release_is_written_leaves_no_secret(
    run: Deployment, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write, count = store.write_atomically, iter(range(100))

    def full(*args: Any) -> None:
        if next(count) == number:
            (args[0].parent / f".{args[0].name}.partial").write_text("S")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(*args)

    monkeypatch.setattr(store, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        begin(run)
    monkeypatch.undo()
    assert [
        path for path in run.releases.root.rglob("*") if path.suffix == ".env" or "partial" in path.name
    ] == [] or number == 0
    begin(run, replace(ORDER, stamp=LATER))
    assert [path.name for path in run.releases.home.iterdir()] == [f"{LATER}-{ORDER.goal.content.hash[:8]}"]


def test_directory_without_a_record_is_cleared_by_the_next_run(run: Deployment) -> None:
    half = run.releases.home / OTHER
    (half / "gate").mkdir(parents=True)
    for name in ("agent-worker.env", ".fastapi.env.partial", "compose.yml", "gate/state", "gate/.state.partial"):
        (half / name).write_text("S=x")
    (run.releases.root / ".lock.json.partial").write_text("{")
    theirs = put(run.releases.root, "2024-11-02", "[1,2]")
    begin(run)
    assert (half.exists(), (run.releases.root / ".lock.json.partial").exists(), theirs.exists()) == (False, False, True)


def test_file_of_somebody_else_stays_in_a_directory_without_a_record(run: Deployment) -> None:
    half = run.releases.home / OTHER
    half.mkdir(parents=True)
    for name in ("agent-worker.env", "notes.txt"):
        (half / name).write_text("S=x")
    begin(run)
    assert [path.name for path in half.iterdir()] == ["notes.txt"]


def test_containers_and_networks_of_our_form_without_a_record_are_cleared(run: Deployment, machine: Machine) -> None:
    machine.start(OTHER)
    for container in machine.containers:
        container["State"]["Running"] = False
    project = records.compose_project("app", OTHER)
    machine.networks = {"ours": project, "candidates": f"{project}-candidate", "theirs": "app", "near": f"{project}-x"}
    machine.hand_made("app", web={})
    begin(run)
    assert [c["Id"] for c in machine.containers] == ["app-web-1"]
    assert machine.networks == {"theirs": "app", "near": f"{project}-x"}


def astray(run: Deployment, machine: Machine, log: str = REGISTERED, **labels: str) -> str:
    """A container of a hand-made project's name that Compose made of a release's files."""
    machine.hand_made("handmade", **{"agent-worker": {"log": log, "env": ["LIVEKIT_AGENT_NAME=name-a"]}})
    container = machine.containers[-1]
    container["Config"]["Labels"] |= labels or {docker.DIRECTORY_LABEL: str(run.releases.directory(OTHER))}
    return str(container["Id"])


@pytest.mark.parametrize("label", [docker.DIRECTORY_LABEL, docker.FILES_LABEL])
def test_worker_of_another_project_that_was_made_from_our_files_is_drained_by_the_next_run(
    run: Deployment, machine: Machine, label: str
) -> None:
    directory = str(run.releases.directory(OTHER))
    name = astray(run, machine, **{label: directory if label == docker.DIRECTORY_LABEL else f"{directory}/compose.yml"})
    machine.hand_made("handmade", web={})
    answer = begin(run)
    assert machine.asked("docker", "kill") == [["docker", "kill", "--signal", "TERM", name]]
    assert ([c["Id"] for c in machine.containers], answer["cleared"]) == (["handmade-web-1"], [OTHER])
    assert not run.releases.directory(OTHER).exists()


def test_failed_release_takes_its_container_of_another_project_with_it(run: Deployment, machine: Machine) -> None:
    answer = begin(run)
    name = astray(run, machine, **{docker.DIRECTORY_LABEL: str(run.releases.directory(answer["plan"]["id"]))})
    run.abandon(answer["fence"], "has not registered")
    assert machine.asked("docker", "kill") == [["docker", "kill", "--signal", "TERM", name]]
    assert (machine.containers, run.releases.directory(answer["plan"]["id"]).exists()) == ([], False)


@pytest.mark.parametrize(("log", "signals"), [(REGISTERED, 1), (DRAINING, 0), ("", 0)])
def test_worker_without_a_record_gets_no_second_signal(
    run: Deployment, machine: Machine, monkeypatch: pytest.MonkeyPatch, log: str, signals: int
) -> None:
    monkeypatch.setattr("ansible.module_utils.livekit_deploy.release.begin.STOP_SECONDS", 0.1)
    monkeypatch.setattr(own_answer, "ask_worker", lambda *_: {})
    name = astray(run, machine, log)
    machine.drains = False
    begin(run)
    assert len(machine.asked("docker", "kill")) == signals
    assert (run.releases.record(OTHER) or {})["state"] == "abandoned"
    assert name in {c["Id"] for c in machine.containers}


def test_release_that_serves_and_lost_its_record_serves_until_the_next_one_does(
    run: Deployment, machine: Machine
) -> None:
    first = deploy(run, machine)["plan"]["id"]
    (run.releases.directory(first) / "release.json").write_text("[1,2]")
    answer = begin(run, replace(ORDER, stamp=LATER))
    assert (answer["release"]["id"], answer["plan"]["changed"], answer["plan"]["previous"]) == (first, True, first)
    assert machine.asked("docker", "kill") == []
    assert (run.releases.record(first) or {})["state"] == "serving"
    assert set(IMAGES) == set((run.releases.record(first) or {})["services"])


def test_every_call_of_compose_names_its_project_and_its_files(run: Deployment, machine: Machine) -> None:
    answer = begin(run, replace(ORDER, nodes=2))
    containers.start_candidate(run.releases, answer["plan"]["id"])
    containers.start_service(run.releases, answer["plan"]["id"], "agent-worker")
    containers.start_service(run.releases, answer["plan"]["id"], "fastapi")
    run.abandon(answer["fence"], "why")
    calls = machine.asked("docker", "compose")
    assert len(calls) == 4
    assert all("--project-name" in call and "--file" in call for call in calls)
