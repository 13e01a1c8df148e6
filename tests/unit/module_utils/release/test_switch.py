"""Releases on a host: directories, records, gates and proxy, with a stand-in for the commands of Engine and nginx."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import times
from ansible.module_utils.livekit_deploy.machine.docker import EngineError
from ansible.module_utils.livekit_deploy.release import abandon, containers, drain, images, records, state, switch
from ansible.module_utils.livekit_deploy.release.drain import Ending
from ansible.module_utils.livekit_deploy.release.errors import ReleaseError
from ansible.module_utils.livekit_deploy.release.proxy import upstream_text
from ansible.module_utils.livekit_deploy.release.store import Releases

from tests.unit.module_utils.standin_machine import Machine

OLD, NEW = "20260101T000000Z-00000001", "20260102T000000Z-00000002"


def stage(host: Releases, machine: Machine, release_id: str, port: int) -> None:
    host.stage(
        {"id": release_id, "app": "app", "agent_name": "name", "api_port": port, "hash": release_id[-8:]},
        {"compose.yml": f"# {release_id}", "fastapi.env": "A='1'\n"},
    )
    machine.start(release_id)


@pytest.fixture
def served(host: Releases, machine: Machine) -> Releases:
    """A host whose OLD release serves, with NEW beside it behind its gate."""
    stage(host, machine, OLD, 18101)
    switch.serve(host, OLD)
    stage(host, machine, NEW, 18102)
    return host


def test_staged_release_has_its_gate_closed(host: Releases, machine: Machine) -> None:
    stage(host, machine, NEW, 18102)
    assert (host.gate(NEW), host.record(NEW)["state"]) == ("closed", "staged")  # type: ignore[index]


def test_staging_the_same_twice_changes_nothing(host: Releases, machine: Machine) -> None:
    stage(host, machine, NEW, 18102)
    record = host.record(NEW) or {}
    assert host.stage(record, {"compose.yml": f"# {NEW}", "fastapi.env": "A='1'\n"}) is False


def test_secrets_are_readable_by_their_owner_only(host: Releases, machine: Machine) -> None:
    stage(host, machine, NEW, 18102)
    modes = {
        name: (host.directory(NEW) / name).stat().st_mode & 0o777
        for name in ("compose.yml", "fastapi.env", "release.json")
    }
    assert set(modes.values()) == {0o600}


def test_gate_is_readable_by_the_worker(host: Releases, machine: Machine) -> None:
    stage(host, machine, NEW, 18102)
    gate = host.directory(NEW) / "gate"
    assert (gate.stat().st_mode & 0o777, (gate / "state").stat().st_mode & 0o777) == (0o755, 0o644)


def test_first_release_serves(host: Releases, machine: Machine) -> None:
    stage(host, machine, OLD, 18101)
    switch.serve(host, OLD)
    current = host.current() or {}
    assert (current["id"], current["state"], current["previous"], host.gate(OLD)) == (OLD, "serving", None, "open")


def test_switch_points_the_proxy_to_the_new_api(served: Releases) -> None:
    switch.serve(served, NEW)
    assert "127.0.0.1:18102" in served.upstream.read_text()


def test_both_gates_are_open_while_the_proxy_switches(served: Releases, machine: Machine) -> None:
    seen: list[tuple[str | None, str | None]] = []
    machine.at_reload = lambda: seen.append((served.gate(OLD), served.gate(NEW)))
    switch.serve(served, NEW)
    assert seen == [("open", "open")]


def test_old_gate_is_closed_after_the_switch(served: Releases) -> None:
    switch.serve(served, NEW)
    assert (served.gate(OLD), served.gate(NEW)) == ("closed", "open")


def test_switch_is_recorded_in_both_releases(served: Releases) -> None:
    switch.serve(served, NEW)
    states = {record["id"]: (record["state"], record.get("previous")) for record in served.records()}
    assert states == {OLD: ("draining", None), NEW: ("serving", OLD)}


def test_serving_what_serves_changes_nothing(served: Releases) -> None:
    assert switch.serve(served, OLD) is False


def test_serving_needs_a_staged_release(served: Releases) -> None:
    with pytest.raises(ReleaseError, match="found no release"):
        switch.serve(served, "20260103T000000Z-00000003")


def test_refused_proxy_configuration_leaves_the_old_release_serving(served: Releases, machine: Machine) -> None:
    machine.nginx_accepts = False
    with pytest.raises(ReleaseError, match="bad upstream"):
        switch.serve(served, NEW)
    found = (served.current() or {})["id"], served.gate(OLD), served.gate(NEW), "18101" in served.upstream.read_text()
    assert found == (OLD, "open", "closed", True)


def test_abandoned_before_the_switch_leaves_no_trace(served: Releases, machine: Machine) -> None:
    answer = abandon.take_back(served, NEW)
    left = [c["Id"] for c in machine.containers if c["Id"].startswith(NEW)]
    assert (answer["serving"], left, served.directory(NEW).exists()) == (OLD, [], False)


def test_abandoned_says_what_an_api_needs_that_writes_to_its_own_directory(
    served: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "OSError: [Errno 30] Read-only file system: '/app/cache/x.db'"
    monkeypatch.setattr(abandon, "last_lines_of", lambda *_: [said])
    log = abandon.take_back(served, NEW)["log"]
    assert f"fastapi: {said}" in log
    assert any(line.startswith("fastapi: The image writes to /app/cache/x.db") for line in log)


def test_abandoned_answers_the_last_words(served: Releases) -> None:
    assert "fastapi: last words" in abandon.take_back(served, NEW)["log"]


def test_last_words_show_no_secret_of_the_release(served: Releases, machine: Machine) -> None:
    served.stage(
        {**(served.record(NEW) or {}), "hash": "1"},
        {"compose.yml": "", "fastapi.env": "OPENAI_API_KEY='sk-proj-4711abcd'\n"},
    )
    machine.logs.update(
        {container["Id"]: "Incorrect API key provided: sk-proj-4711abcd" for container in machine.containers}
    )
    assert "fastapi: Incorrect API key provided: ***" in abandon.take_back(served, NEW)["log"]


def test_abandoned_after_the_switch_lets_the_old_one_serve_again(served: Releases) -> None:
    switch.serve(served, NEW)
    abandon.take_back(served, NEW)
    record = served.record(OLD) or {}
    found = (served.current() or {})["id"], record["state"], served.gate(OLD), "18101" in served.upstream.read_text()
    assert found == (OLD, "serving", "open", True)


def test_abandoned_after_the_switch_drains_what_may_have_calls(served: Releases, machine: Machine) -> None:
    switch.serve(served, NEW)
    abandon.take_back(served, NEW)
    assert machine.asked("docker", "kill") == [["docker", "kill", "--signal", "TERM", f"{NEW}-agent-worker"]]


def test_there_is_no_way_back_to_a_release_that_is_being_stopped(served: Releases, machine: Machine) -> None:
    switch.serve(served, NEW)
    machine.drains = False
    drain.retire_all(served, Ending(0.1, keep=3))
    assert abandon.take_back(served, NEW)["serving"] == NEW
    assert ((served.current() or {})["id"], served.gate(NEW), "18102" in served.upstream.read_text()) == (
        NEW,
        "open",
        True,
    )


def test_abandoned_first_release_leaves_nothing_serving(host: Releases, machine: Machine) -> None:
    stage(host, machine, NEW, 18102)
    switch.serve(host, NEW)
    assert (abandon.take_back(host, NEW)["serving"], host.current(), machine.containers) == (None, None, [])
    assert host.upstream.read_text() == upstream_text("app", None)


def test_retire_stops_the_old_release_and_keeps_its_files(served: Releases, machine: Machine) -> None:
    switch.serve(served, NEW)
    answer = drain.retire_all(served, Ending(1.0, keep=3))
    assert (answer["retired"], (served.record(OLD) or {})["state"], len(machine.containers)) == ([OLD], "retired", 2)


def test_retire_leaves_a_busy_worker_draining(served: Releases, machine: Machine) -> None:
    machine.drains = False
    switch.serve(served, NEW)
    assert drain.retire_all(served, Ending(0.1, keep=0))["draining"] == [OLD]
    assert served.directory(OLD).exists()


def test_busy_worker_never_gets_a_second_signal(served: Releases, machine: Machine) -> None:
    machine.drains = False
    switch.serve(served, NEW)
    drain.retire_all(served, Ending(0.1, keep=3))
    drain.retire_all(served, Ending(0.1, keep=3))
    assert len(machine.asked("docker", "kill")) == 1


def test_retire_removes_what_a_killed_run_left(served: Releases, machine: Machine) -> None:
    assert drain.retire_all(served, Ending(1.0, keep=3))["removed"] == [NEW]
    assert [c["Id"] for c in machine.containers] == [f"{OLD}-fastapi", f"{OLD}-agent-worker"]


def test_retire_removes_the_oldest_beyond_those_to_keep(served: Releases) -> None:
    switch.serve(served, NEW)
    assert drain.retire_all(served, Ending(1.0, keep=0))["removed"] == [OLD]
    assert not served.directory(OLD).exists()


def test_file_of_somebody_else_keeps_a_removed_release_directory(served: Releases) -> None:
    note = served.directory(NEW) / "note.txt"
    note.write_text("mine")
    abandon.take_back(served, NEW)
    assert [p.name for p in served.directory(NEW).iterdir()] == ["note.txt"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("compose.yml", "compose.yml was edited by hand"), ("fastapi.env", "fastapi.env was edited by hand")],
)
def test_edited_file_is_drift(served: Releases, name: str, sentence: str) -> None:
    (served.directory(OLD) / name).write_text("edited")
    assert state.release_info(served)["drift"] == [sentence]


def test_closed_gate_of_the_serving_release_is_drift(served: Releases) -> None:
    served.set_gate(OLD, records.GATE_CLOSED)
    assert state.release_info(served)["drift"] == ["the standby gate is closed"]


def test_proxy_that_points_elsewhere_is_drift(served: Releases) -> None:
    served.upstream.write_text(upstream_text("app", 1))
    assert state.release_info(served)["drift"] == [f"{served.upstream} does not name this release's API"]


def test_untouched_release_has_no_drift(served: Releases) -> None:
    assert state.release_info(served)["drift"] == []


def test_leftovers_name_what_a_killed_run_left(served: Releases) -> None:
    assert state.release_info(served)["leftovers"] == [NEW]


def rename_to(host: Releases, name: str) -> None:
    host.save(host.record(NEW) or {}, agent_name=name)
    switch.serve(host, NEW)


def test_worker_of_the_former_name_serves_on_until_it_drains(served: Releases) -> None:
    rename_to(served, "other")
    assert (served.gate(OLD), served.gate(NEW)) == ("open", "open")


def test_former_name_is_served_for_the_overlap_after_its_api_has_stopped(served: Releases, machine: Machine) -> None:
    rename_to(served, "other")
    started = time.monotonic()
    drain.retire_all(served, Ending(5.0, keep=3, overlap_seconds=0.5))
    assert time.monotonic() - started >= 0.5
    asked = [command[:3] for command in machine.commands if command[1] in ("stop", "kill")]
    assert asked == [["docker", "stop", f"{OLD}-fastapi"], ["docker", "kill", "--signal"]]
    assert served.gate(OLD) == "closed"


def test_worker_of_the_same_name_is_drained_without_overlap(served: Releases) -> None:
    switch.serve(served, NEW)
    started = time.monotonic()
    drain.retire_all(served, Ending(5.0, keep=3, overlap_seconds=30.0))
    assert time.monotonic() - started < 5.0


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Ports whose API has a request that is not answered yet."""
    ports: set[int] = set()
    monkeypatch.setattr("ansible.module_utils.livekit_deploy.release.drain.connected_to", lambda port: port in ports)
    return ports


def signalled(machine: Machine) -> list[list[str]]:
    """Verb and container of what was told to end, in this order."""
    return [
        [command[1], command[-1].rsplit("-", 1)[-1]] for command in machine.commands if command[1] in ("stop", "kill")
    ]


def test_api_that_still_answers_is_not_stopped_while_its_worker_drains(
    served: Releases, machine: Machine, answering: set[int]
) -> None:
    answering.add(18101)
    switch.serve(served, NEW)
    assert drain.retire_all(served, Ending(0.1, keep=3))["draining"] == [OLD]
    assert signalled(machine) == [["kill", "worker"]]
    assert [c["Id"] for c in machine.containers if c["State"]["Running"]] == [
        f"{OLD}-fastapi",
        f"{NEW}-fastapi",
        f"{NEW}-agent-worker",
    ]


def test_api_that_has_answered_while_its_worker_ended_is_stopped(
    served: Releases, machine: Machine, answering: set[int]
) -> None:
    answering.add(18101)
    switch.serve(served, NEW)
    machine.at_kill = lambda container: answering.clear() if container.endswith("worker") else None
    assert drain.retire_all(served, Ending(0.1, keep=3))["retired"] == [OLD]
    assert signalled(machine)[-1] == ["stop", "fastapi"]


def test_former_name_is_served_as_long_as_its_api_answers(
    served: Releases, machine: Machine, answering: set[int]
) -> None:
    answering.add(18101)
    rename_to(served, "other")
    assert drain.retire_all(served, Ending(0.1, keep=3, overlap_seconds=0.1))["draining"] == [OLD]
    assert (signalled(machine), served.gate(OLD)) == ([], "open")


def test_next_run_stops_an_api_that_still_answers(served: Releases, machine: Machine, answering: set[int]) -> None:
    answering.add(18101)
    switch.serve(served, NEW)
    assert drain.retire_all(served, Ending(0.1, keep=3, insist=True))["retired"] == [OLD]
    assert signalled(machine) == [["stop", "fastapi"], ["kill", "worker"]]


@pytest.mark.parametrize(("seconds", "draining"), [(-1, []), (60, [OLD]), (None, [OLD])])
def test_worker_is_killed_when_its_drain_timeout_has_passed(
    served: Releases, machine: Machine, seconds: int | None, draining: list[str]
) -> None:
    machine.drains = False
    switch.serve(served, NEW)
    machine.container(f"{OLD}-agent-worker")["Config"]["StopTimeout"] = seconds
    assert drain.retire_all(served, Ending(0.1, keep=3))["draining"] == draining


DAY = 86400.0


@pytest.mark.parametrize(
    ("clock", "moved", "overdue"),
    [
        pytest.param(DAY, 0.0, False, id="the clock was set forward"),
        pytest.param(-DAY, 3601.0, True, id="the clock was set back, and the timeout has passed"),
        pytest.param(3601.0, 3601.0, True, id="the timeout has passed"),
        pytest.param(0.0, 0.0, False, id="a moment ago"),
    ],
)
def test_clock_that_is_set_ends_nobodys_calls(
    clock: float, moved: float, overdue: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    record: Any = drain.stop_noted_now()
    now, here = time.time(), times.moment()
    monkeypatch.setattr(drain.time, "time", lambda: now + clock)
    monkeypatch.setattr(times, "moment", lambda: {**here, "seconds": here["seconds"] + moved})
    assert drain.is_overdue(record, stopped_after(3600)) is overdue


def stopped_after(seconds: int) -> Any:
    """A service with this stop timeout."""
    return {"stop_seconds": seconds}


@pytest.mark.parametrize("kept", [{}, {"drain_started": {"boot": "another", "seconds": 1.0}}, {"drain_started": "x"}])
def test_worker_has_not_been_told_longer_ago_than_its_host_was_started(
    kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(times, "moment", lambda: {"boot": "this", "seconds": 100.0})
    record: Any = {"drain_started_at": "2026-01-01T00:00:00Z", **kept}
    assert drain.is_overdue(record, stopped_after(3600)) is False
    assert drain.is_overdue(record, stopped_after(99)) is True


def test_all_that_drain_share_one_wait(served: Releases, machine: Machine) -> None:
    machine.drains = False
    switch.serve(served, NEW)
    third = "20260103T000000Z-00000003"
    stage(served, machine, third, 18103)
    switch.serve(served, third)
    started = time.monotonic()
    assert drain.retire_all(served, Ending(1.0, keep=3))["draining"] == [NEW, OLD]
    assert time.monotonic() - started < 1.6


def test_run_killed_between_gate_and_record_is_switched_back(served: Releases) -> None:
    served.save(served.record(NEW) or {}, state="switching")
    served.set_gate(NEW, records.GATE_OPEN)
    switch.point_proxy(served, 18102)
    assert switch.recover(served) == [NEW]
    found = (served.current() or {})["id"], served.gate(OLD), served.gate(NEW), "18101" in served.upstream.read_text()
    assert found == (OLD, "open", "closed", True)


def test_worker_that_may_have_calls_from_a_killed_switch_is_drained_and_not_killed(
    served: Releases, machine: Machine
) -> None:
    served.save(served.record(NEW) or {}, state="switching")
    switch.recover(served)
    machine.drains = False
    assert drain.retire_all(served, Ending(0.1, keep=3))["draining"] == [NEW]
    assert machine.asked("docker", "kill") == [["docker", "kill", "--signal", "TERM", f"{NEW}-agent-worker"]]


def test_image_that_is_there_is_not_pulled(host: Releases, machine: Machine) -> None:
    machine.images["r/a@sha256:1"] = "sha256:aa"
    assert images.bring(host, ["r/a@sha256:1"]) == []
    assert machine.asked("docker", "pull") == []


def test_abandoned_release_leaves_nothing_of_an_archive_that_was_sent(served: Releases) -> None:
    images.store_images(served).directory.mkdir()
    (images.store_images(served).directory / "x.tar").touch()
    abandon.take_back(served, "20260102T000000Z-00000002")
    assert list(images.store_images(served).directory.iterdir()) == []


def test_images_of_kept_releases_and_of_adopted_projects_stay(served: Releases, machine: Machine) -> None:
    for record, image in zip(served.records(), ("r/old@sha256:1", "r/new@sha256:2"), strict=True):
        served.save(record, images={"agent-worker": image})
    machine.images |= {"r/old@sha256:1": "a", "r/new@sha256:2": "b", "r/gone@sha256:3": "c"}
    for image in machine.images:
        images.store_images(served).note(image)
    assert images.prune_images(served) == ["r/gone@sha256:3"]


# --- what nginx and Docker refuse ------------------------------------------------------------------------------------


def test_a_certificate_that_is_gone_is_told_with_a_remedy(served: Releases, machine: Machine) -> None:
    machine.nginx_says = 'nginx: [emerg] cannot load certificate "/etc/ssl/a.pem"'
    machine.nginx_accepts = False
    with pytest.raises(ReleaseError) as refused:
        switch.serve(served, NEW)
    assert "found: nginx refuses the configuration that is on this host already" in str(refused.value)
    assert "Put the certificate and its key at the paths that nginx names" in str(refused.value)


@pytest.mark.parametrize(
    "words", ["Bind for 127.0.0.1:18102 failed: port is already allocated", "bind: address already in use"]
)
def test_a_port_that_somebody_took_is_told_with_a_remedy(served: Releases, machine: Machine, words: str) -> None:
    machine.compose_says = words
    with pytest.raises(ReleaseError, match=r"found: somebody has port 18102, expected it free .* agent_api_ports"):
        containers.start_service(served, NEW, "fastapi")


def test_another_failure_of_compose_is_told_as_it_is(served: Releases, machine: Machine) -> None:
    machine.compose_says = "no such image"
    with pytest.raises(EngineError, match="no such image"):
        containers.start_service(served, NEW, "fastapi")
