"""An application leaves a host: what goes, in which order, what stays, what is told; with a stand-in for commands."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import docker
from ansible.module_utils.livekit_deploy.release import containers, drain, history, proxy, records, removal, switch
from ansible.module_utils.livekit_deploy.release.begin import adopt_project
from ansible.module_utils.livekit_deploy.release.drain import Ending
from ansible.module_utils.livekit_deploy.release.errors import ReleaseError
from ansible.module_utils.livekit_deploy.release.lock import Claim, LockError, Owner
from ansible.module_utils.livekit_deploy.release.proxy import upstream_text
from ansible.module_utils.livekit_deploy.release.removal import BusyError, Removal, take_off
from ansible.module_utils.livekit_deploy.release.removal_notes import removal_notes
from ansible.module_utils.livekit_deploy.release.run import Deployment
from ansible.module_utils.livekit_deploy.release.store import Releases

from tests.unit.module_utils.standin_machine import Machine

FIRST, SECOND = "20260101T000000Z-00000001", "20260102T000000Z-00000002"
US, THEM = Owner("m1", 10, "100", "anna@ci"), Owner("m2", 20, "200", "ben@laptop")
ADOPTED = "20251201T000000Z-0000000a"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "SETTLE_SECONDS", 0.0)


def stage(host: Releases, machine: Machine, release_id: str, port: int, **changes: Any) -> None:
    record: Any = {
        "id": release_id,
        "app": "app",
        "agent_name": "name-a",
        "api_port": port,
        "hash": "h",
        "images": {"fastapi": "r/a"},
    }
    record |= changes
    host.stage(record, {"compose.yml": f"# {release_id}", "fastapi.env": "A='1'\n"})
    machine.start(release_id)
    machine.networks[f"{records.compose_project('app', release_id)}_default"] = records.compose_project(
        "app", release_id
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "conf.d" / "site.conf"
    path.parent.mkdir()
    path.write_text("server {}")
    return path


@pytest.fixture
def run(host: Releases, machine: Machine) -> Deployment:
    """SECOND serves, FIRST is retired; somebody else has a container, a network and a volume."""
    for number, one in enumerate((FIRST, SECOND)):
        stage(host, machine, one, 18101 + number)
        switch.serve(host, one)
    drain.retire_all(host, Ending(1.0, keep=3))
    machine.hand_made("theirs", web={"port": 80})
    machine.networks["theirs_default"] = "theirs"
    machine.volumes = {"theirs_data": "theirs"}
    history.append(host.root / "history.jsonl", {"outcome": "released", "to": SECOND})
    return Deployment(host)


def remove(run: Deployment, site: Path, owner: Owner = US, wait: float = 1.0) -> Any:
    return take_off(Removal(run.releases, str(site)), Claim(owner, "remove", alive=frozenset({US.key})), 0.0, wait)


def projects(machine: Machine) -> set[str]:
    return {docker.labels(container)[docker.PROJECT_LABEL] for container in machine.containers}


def test_all_of_ours_is_gone(run: Deployment, site: Path, machine: Machine) -> None:
    assert remove(run, site)["changed"] is True
    assert (run.releases.root.exists(), site.exists(), run.releases.upstream.exists()) == (False, False, False)
    assert (projects(machine), machine.networks) == ({"theirs"}, {"theirs_default": "theirs"})


def test_nothing_of_others_is_asked_for_more_than_a_look(run: Deployment, site: Path, machine: Machine) -> None:
    machine.commands.clear()
    remove(run, site)
    changing = [
        c
        for c in machine.commands
        if c[1] in ("start", "stop", "kill", "update", "rm") or c[2:3] in (["rm"], ["prune"])
    ]
    assert [c for c in changing if "theirs" in " ".join(c)] == []
    assert "restart" not in {word for command in machine.commands for word in command}


def test_proxy_comes_before_the_api_and_the_api_before_the_worker(
    run: Deployment, site: Path, machine: Machine
) -> None:
    machine.commands.clear()
    remove(run, site)
    first = {
        what: next(n for n, c in enumerate(machine.commands) if c[: len(what)] == list(what))
        for what in (
            ("systemctl", "reload", "nginx"),
            ("docker", "stop", f"{SECOND}-fastapi"),
            ("docker", "kill"),
            ("docker", "rm"),
        )
    }
    assert list(first.values()) == sorted(first.values())


def test_second_removal_changes_nothing_and_says_so(run: Deployment, site: Path) -> None:
    remove(run, site)
    again = remove(run, site)
    assert (again["changed"], run.releases.root.exists()) == (False, False)
    assert removal_notes("a", "app", again, check=False)[0] == "a: nothing of app is there, so nothing was removed"


def test_worker_that_is_busy_is_left_and_its_release_kept(run: Deployment, site: Path, machine: Machine) -> None:
    machine.drains = False
    with pytest.raises(BusyError, match=rf"the worker of {SECOND} \(name-a\) still has calls after 0 s, expected none"):
        remove(run, site, wait=0.0)
    assert ((run.releases.record(SECOND) or {})["state"], run.releases.current(), site.exists()) == (
        "draining",
        None,
        False,
    )
    assert f"{SECOND}-agent-worker" in {c["Id"] for c in machine.containers}
    assert [entry["outcome"] for entry in history.history_entries(run.releases.history)] == [
        "released",
        "not removed yet",
    ]
    assert run.lock.read().owner is None


def test_worker_that_was_left_is_told_to_stop_once_only(
    run: Deployment, site: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "may_have_calls", lambda _: True)
    machine.drains = False
    for _ in range(2):
        with pytest.raises(BusyError):
            remove(run, site, wait=0.0)
    assert len(machine.asked("docker", "kill")) - 1 == 1  # one of them was FIRST's, when SECOND was released
    machine.stop(f"{SECOND}-agent-worker", ends=True)
    assert remove(run, site)["changed"] is True
    assert run.releases.root.exists() is False


def test_run_of_somebody_else_is_waited_for_and_named(run: Deployment, site: Path) -> None:
    with run.lock.taken(Claim(THEM, "deploy"), 0.0):
        pass
    with pytest.raises(LockError, match="ben@laptop"):
        remove(run, site)
    assert site.exists()


def test_site_that_nginx_does_not_do_without_is_put_back(run: Deployment, site: Path, machine: Machine) -> None:
    machine.nginx_accepts = False
    with pytest.raises(ReleaseError, match="they are as they were"):
        remove(run, site)
    assert (site.read_text(), "127.0.0.1:18102" in run.releases.upstream.read_text()) == ("server {}", True)
    assert (run.releases.current() or {})["id"] == SECOND


def test_upstream_that_a_site_of_the_user_includes_stays_and_answers_502(
    run: Deployment, site: Path, machine: Machine
) -> None:
    machine.site_is_whole = run.releases.upstream.exists
    found = remove(run, site)
    assert (found["kept"], run.releases.upstream.read_text()) == (
        [str(run.releases.upstream)],
        upstream_text("app", None),
    )
    again = remove(run, site)
    assert (again["changed"], again["kept"]) == (False, [str(run.releases.upstream)])
    assert "because a site of yours includes it" in "\n".join(removal_notes("a", "app", again, check=False))


def test_nginx_that_does_not_run_is_not_reloaded(
    run: Deployment, site: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = machine.run
    monkeypatch.setattr(run.releases, "run", lambda argv: (3, "", "") if "is-active" in argv else real(argv))
    machine.commands.clear()
    remove(run, site)
    assert machine.asked("nginx") + machine.asked("systemctl") == []


@pytest.mark.parametrize("released", [True, False])
def test_removal_that_was_killed_before_its_reload_is_finished_by_the_next(
    run: Deployment, site: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch, released: bool
) -> None:
    if not released:
        for record in run.releases.records():
            containers.down(run.releases, record["id"])
            run.releases.remove(record["id"])

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(proxy, "reload_proxy", killed)
        with pytest.raises(KeyboardInterrupt):
            remove(run, site)
    assert site.exists() is False
    machine.commands.clear()
    remove(run, site)
    assert machine.asked("systemctl", "reload", "nginx")
    assert (run.releases.root.exists(), list(run.releases.upstream.parent.glob(".*upstream*"))) == (False, [])


def test_file_of_somebody_else_keeps_its_directory(run: Deployment, site: Path) -> None:
    theirs = run.releases.directory(SECOND) / "notes.txt"
    theirs.write_text("mine")
    found = remove(run, site)
    left = [path for path in run.releases.root.rglob("*") if path.is_file()]
    assert (left, found["others"]) == ([theirs], [f"releases/{SECOND}/notes.txt"])
    assert remove(run, site)["changed"] is False
    assert [path for path in run.releases.root.rglob("*") if path.is_file()] == [theirs]


def test_release_that_was_being_written_goes_with_its_secrets(run: Deployment, site: Path) -> None:
    half = run.releases.directory("20260103T000000Z-00000003")
    half.mkdir()
    (half / "agent-worker.env").write_text("S='x'")
    (half / ".release.json.partial").write_text("{")
    remove(run, site)
    assert run.releases.root.exists() is False


def test_containers_without_a_record_are_drained_by_the_rules(host: Releases, machine: Machine, site: Path) -> None:
    machine.start(FIRST)
    machine.logs[f"{FIRST}-agent-worker"] = '{"message": "registered worker", "id": "AW_1", "agent_name": "a"}'
    machine.drains = False
    run = Deployment(host)
    for _ in range(2):
        with pytest.raises(BusyError, match="still has calls"):
            remove(run, site, wait=0.0)
    assert len(machine.asked("docker", "kill")) == 1
    machine.stop(f"{FIRST}-agent-worker", ends=True)
    remove(run, site)
    assert (machine.containers, host.root.exists()) == ([], False)


def test_container_of_another_project_that_was_made_from_our_files_goes_before_them(
    host: Releases, machine: Machine, site: Path, run: Deployment
) -> None:
    machine.hand_made("handmade", **{"agent-worker": {}})
    machine.containers[-1]["Config"]["Labels"][docker.DIRECTORY_LABEL] = str(host.directory(SECOND))
    remove(run, site)
    assert "handmade-agent-worker-1" not in {c["Id"] for c in machine.containers}
    assert host.root.exists() is False


def test_provisioned_host_without_a_release_is_cleared(host: Releases, site: Path) -> None:
    assert remove(Deployment(host), site)["changed"] is True
    assert (host.root.exists(), site.exists()) == (False, False)


def test_release_without_an_api_is_removed(host: Releases, machine: Machine, site: Path) -> None:
    stage(host, machine, FIRST, 18101, services=["agent-worker"])
    machine.containers = [c for c in machine.containers if not c["Id"].endswith("fastapi")]
    switch.serve(host, FIRST)
    remove(Deployment(host), site)
    assert (machine.containers, host.root.exists()) == ([], False)


def test_staged_release_that_never_took_a_call_is_not_waited_for(host: Releases, machine: Machine, site: Path) -> None:
    stage(host, machine, FIRST, 18101)
    machine.drains = False
    remove(Deployment(host), site, wait=0.0)
    assert (machine.containers, machine.asked("docker", "kill")) == ([], [])


def adopted(host: Releases, machine: Machine) -> None:
    machine.hand_made("theirs", bot={"policy": "always"}, web={"policy": "always"})
    project: dict[str, Any] = {
        "project": "theirs",
        "directory": "/srv/theirs",
        "worker": "theirs-bot-1",
        "api": "theirs-web-1",
        "signal": "TERM",
    }
    project |= {"containers": ["theirs-bot-1", "theirs-web-1"], "ports": [], "policies": {}}
    record: dict[str, Any] = {
        "id": ADOPTED,
        "app": "app",
        "agent_name": "old",
        "api_port": None,
        "files": {},
        "hook": False,
        "gated": False,
    }
    taken: Any = {**record, "state": "serving", "images": {"fastapi": "theirs:1"}, "adopted": project}
    adopt_project(host, taken)


def test_adopted_project_stays_stopped_and_is_told(host: Releases, machine: Machine, site: Path) -> None:
    adopted(host, machine)
    names = {docker.name(container) for container in machine.containers}
    found = remove(Deployment(host), site)
    assert {docker.name(container): container["State"]["Running"] for container in machine.containers} == dict.fromkeys(
        names, False
    )
    assert (found["images"], found["agent_names"], host.root.exists()) == ([], ["old"], False)
    assert "stays, stopped: compose project theirs (/srv/theirs)" in "\n".join(
        removal_notes("a", "app", found, check=False)
    )


def test_way_back_of_an_adopted_project_has_its_restart_policy(host: Releases, machine: Machine, site: Path) -> None:
    adopted(host, machine)
    (line,) = [
        line
        for line in removal_notes("a", "app", remove(Deployment(host), site), check=False)
        if "had been adopted" in line
    ]
    assert "docker update --restart always" in line


def test_look_changes_nothing_and_says_what_would_go(run: Deployment, site: Path, machine: Machine) -> None:
    machine.commands.clear()
    found = Removal(run.releases, str(site)).survey()
    said = removal_notes("a", "app", found, check=True)
    assert said[0] == "a: would remove app"
    assert {"  the release that served: " + SECOND, "  kept releases: " + FIRST} <= set(said)
    assert (site.exists(), run.lock.read().owner, {c[1] for c in machine.commands}) == (
        True,
        None,
        {"ps", "inspect", "network", "volume"},
    )


def test_last_line_of_the_history_is_told(run: Deployment, site: Path) -> None:
    (line,) = [line for line in removal_notes("a", "app", remove(run, site), check=False) if "its last line: " in line]
    assert json.loads(line.partition("its last line: ")[2])["to"] == SECOND


def test_volumes_stay_and_are_told(run: Deployment, site: Path, machine: Machine) -> None:
    machine.volumes["app_data"] = records.compose_project("app", SECOND)
    found = remove(run, site)
    assert (found["volumes"], sorted(machine.volumes)) == (["app_data"], ["app_data", "theirs_data"])
    assert any("volumes app_data" in line for line in removal_notes("a", "app", found, check=False))


def test_volume_that_a_record_names_is_told_without_a_label(host: Releases, machine: Machine, site: Path) -> None:
    stage(host, machine, FIRST, 18101, volumes=["app_data", "gone"])
    machine.volumes = {"app_data": "", "theirs": ""}
    assert remove(Deployment(host), site)["volumes"] == ["app_data"]


def test_run_that_waited_for_the_lock_is_told_that_the_application_is_gone(run: Deployment) -> None:
    with ThreadPoolExecutor() as threads:
        with run.lock.changing(0.0):
            waiting = threads.submit(begin, run)
            time.sleep(0.3)
            run.lock.guard.unlink()
        with pytest.raises(LockError, match="was removed while this run waited"):
            waiting.result(5)


def begin(run: Deployment) -> None:
    with run.lock.changing(5.0):
        pass
