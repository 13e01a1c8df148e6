"""One worker is told to stop once, right for what keeps it running; with an Engine, systemd and processes made up."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import supervisors, systemd
from ansible.module_utils.livekit_deploy.machine.command import Runner
from ansible.module_utils.livekit_deploy.worker import search, stop
from ansible.module_utils.livekit_deploy.worker.eviction_records import DrainError, Records
from ansible.module_utils.livekit_deploy.worker.stop import Drain

from tests.unit.module_utils.standin import Told

ID = "AW_1"
UNIT = "agent.service"


def entry(kind: str = "docker", **changes: Any) -> dict[str, Any]:
    supervisor = supervisors.supervised(
        kind, {"systemd": UNIT, "other": "supervisord"}.get(kind, ""), policy=changes.pop("policy", "")
    )
    supervisor.update(changes.pop("supervisor", {}))
    in_container = kind == "docker"
    return {
        "worker_id": ID,
        "worker_ids": ["AW_0", ID],
        "agent_name": "a",
        "container": "agent-1" if in_container else "process 50",
        "container_id": "0a0a" if in_container else None,
        "project": "p",
        "directory": "/srv",
        "pid": 50,
        "start_ticks": 5000,
        "started_at": "then",
        "running": True,
        "draining": False,
        "active_jobs": 2,
        "supervisor": supervisor,
        "start_command": "start it",
        **changes,
    }


class Host:
    """``ends`` says whether the worker ends when told; ``calls`` are the commands that were run, without mere looks."""

    def __init__(self, found: list[dict[str, Any]], *, ends: bool = True, stop_signal: str = "") -> None:
        self.found, self.ends, self.stop_signal = found, ends, stop_signal
        self.state, self.calls = "active", list[str]()

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        if argv[:2] == ["docker", "inspect"]:
            running = not (self.ends and any("kill" in call for call in self.calls))
            return 0, json.dumps([{"Config": {"StopSignal": self.stop_signal}, "State": {"Running": running}}]), ""
        if "show" in argv:
            return 0, f"ActiveState={self.state}\n", ""
        if "sh" in argv:
            return Runner(2)(argv)
        self.calls.append(" ".join(argv))
        if "stop" in argv:
            self.state = "inactive" if self.ends else "deactivating"
        return 0, "", ""

    def everywhere(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"workers": self.found, "unread": []}


Drained = Callable[..., Any]


@pytest.fixture
def drained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Drained:
    monkeypatch.setattr(stop, "LOOK_SECONDS", 0.01)

    def run(host: Host, worker_id: str = ID, **options: Any) -> Any:
        monkeypatch.setattr(search, "everywhere", host.everywhere)
        return Drain(Told(host), worker_id, runtime=tmp_path, root=tmp_path / "proc", **options).drain(0.05)

    return run


# --- Docker ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "stop_signal", "calls"),
    [
        ("no", "", ["docker kill --signal TERM -- agent-1"]),
        ("unless-stopped", "SIGTERM", ["docker kill --signal TERM -- agent-1"]),
        ("on-failure", "SIGINT", ["docker kill --signal INT -- agent-1"]),
        ("always", "", ["docker update --restart unless-stopped -- agent-1", "docker kill --signal TERM -- agent-1"]),
    ],
)
def test_container_is_told_once_through_docker(
    drained: Drained, policy: str, stop_signal: str, calls: list[str]
) -> None:
    host = Host([entry(policy=policy)], stop_signal=stop_signal)
    found = drained(host)
    # What is printed has no needless dashes.
    printed = [call.replace(" -- ", " ") for call in calls]
    assert (host.calls, found["commands"], found["gone"], found["changed"]) == (calls, printed, True, True)


def test_changed_policy_is_reported_and_part_of_how_to_start_it_again(drained: Drained) -> None:
    found = drained(Host([entry(policy="always")]))
    assert found["policy"] == {"before": "always", "after": "unless-stopped"}
    assert found["start_command"] == "docker update --restart always agent-1 && start it"


def test_container_with_another_stop_signal_is_refused(drained: Drained) -> None:
    host = Host([entry()], stop_signal="SIGQUIT")
    with pytest.raises(DrainError, match="SIGQUIT"):
        drained(host)
    assert host.calls == []


def test_worker_with_calls_is_left_draining(drained: Drained) -> None:
    host = Host([entry()], ends=False)
    host.found = [entry()]
    found = drained(host)
    assert (found["gone"], found["active_jobs"], len(host.calls)) == (False, 2, 1)


@pytest.mark.parametrize("kind", ["docker", "systemd"])
def test_second_run_sends_no_second_signal(drained: Drained, kind: str) -> None:
    host = Host([entry(kind)], ends=False)
    drained(host)
    before = list(host.calls)
    assert (drained(host)["gone"], host.calls) == (False, before)


@pytest.mark.parametrize("kind", ["docker", "systemd", "none"])
def test_worker_whose_log_says_that_it_drains_is_sent_nothing(drained: Drained, kind: str) -> None:
    host = Host([entry(kind, draining=True)], ends=False)
    found = drained(host)
    assert (found["commands"], host.calls) == ([], [])


def test_same_container_started_again_is_told_again(drained: Drained) -> None:
    host = Host([entry()], ends=False)
    drained(host)
    host.found = [entry(started_at="later")]
    drained(host)
    assert len(host.calls) == 2


# --- systemd ---------------------------------------------------------------------------------------------------------


def test_unit_is_stopped_without_its_time_out(drained: Drained, tmp_path: Path) -> None:
    host = Host([entry("systemd")], ends=False)
    drained(host)
    text = (tmp_path / "systemd/system/agent.service.d" / stop.DROP_IN).read_text()
    assert {"TimeoutStopSec=infinity", "KillMode=mixed", "ExecStop="} <= set(text.splitlines())
    assert host.calls == ["systemctl daemon-reload", f"systemctl stop --no-block -- {UNIT}"]


def test_drop_in_goes_when_the_unit_has_stopped(drained: Drained, tmp_path: Path) -> None:
    host = Host([entry("systemd")])
    found = drained(host)
    assert found["gone"]
    assert list((tmp_path / "systemd/system").iterdir()) == []
    assert host.calls[-1] == "systemctl daemon-reload"


def test_drop_in_that_an_earlier_run_left_goes_with_the_next(drained: Drained, tmp_path: Path) -> None:
    host = Host([entry("systemd")], ends=False)
    drained(host)
    host.state, host.found = "inactive", []
    found = drained(host)
    assert (found["gone"], list((tmp_path / "systemd/system").iterdir())) == (True, [])


def test_unit_of_a_user_is_stopped_through_that_users_manager(drained: Drained, tmp_path: Path) -> None:
    me = os.getuid()
    host = Host([entry("systemd", supervisor={"user": me})], ends=False)
    drained(host)
    assert (tmp_path / f"user/{me}/systemd/user/agent.service.d" / stop.DROP_IN).exists()
    assert host.calls[-1].endswith(f"systemctl --user stop --no-block -- {UNIT}")


@pytest.mark.parametrize(("enabled", "said"), [(True, True), (None, True), (False, False)])
def test_unit_that_may_start_at_boot_is_told(drained: Drained, enabled: bool | None, said: bool) -> None:
    assert drained(Host([entry("systemd", supervisor={"enabled": enabled})]))["also_at_boot"] is said


# --- a process -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    signals: list[int] = []
    monkeypatch.setattr(os, "pidfd_open", lambda _pid: os.open(os.devnull, os.O_RDONLY))
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda _handle, number: signals.append(number))
    return signals


def running_process(root: Path, ticks: int) -> None:
    folder = root / "proc/50"
    folder.mkdir(parents=True)
    (folder / "stat").write_text(f"50 (python3) S 1 {' '.join(['0'] * 17)} {ticks} 0\n")
    (folder / "cmdline").write_bytes(b"python3\0")
    (folder / "environ").write_bytes(b"")
    (folder / "cgroup").write_text("0::/\n")


def test_process_gets_one_sigterm(drained: Drained, sent: list[int], tmp_path: Path) -> None:
    running_process(tmp_path, 5000)
    host = Host([entry("none")])
    assert drained(host)["commands"] == ["kill -TERM 50"]
    drained(host)
    assert sent == [signal.SIGTERM]


def test_later_process_of_the_same_number_is_sent_nothing(drained: Drained, sent: list[int], tmp_path: Path) -> None:
    running_process(tmp_path, 6000)
    assert (drained(Host([entry("none")]))["gone"], sent) == (True, [])


# --- which -----------------------------------------------------------------------------------------------------------


def test_earlier_id_of_the_worker_is_enough(drained: Drained) -> None:
    assert drained(Host([entry()]), "AW_0")["gone"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param([], "found no worker whose log has AW_1", id="none"),
        pytest.param([entry(), entry(container="agent-2")], "in the logs of agent-1, agent-2", id="several"),
        pytest.param([entry("other")], "kept running by supervisord", id="another supervisor"),
    ],
)
def test_anything_but_one_worker_is_refused(drained: Drained, found: list[dict[str, Any]], said: str) -> None:
    host = Host(found)
    with pytest.raises(DrainError, match=said):
        drained(host)
    assert host.calls == []


def test_worker_that_has_ended_is_gone_and_nothing_changes(drained: Drained) -> None:
    host = Host([entry(running=False)])
    found = drained(host)
    assert (found["gone"], found["changed"], host.calls) == (True, False, [])


def test_worker_evicted_before_and_gone_from_sight_is_remembered(drained: Drained) -> None:
    host = Host([entry(policy="always")])
    drained(host)
    host.found = []
    found = drained(host)
    assert (found["gone"], found["changed"], found["start_command"]) == (
        True,
        False,
        "docker update --restart always agent-1 && start it",
    )


@pytest.mark.parametrize("kind", ["docker", "systemd", "none"])
def test_check_mode_tells_the_commands_and_does_nothing(drained: Drained, tmp_path: Path, kind: str) -> None:
    host = Host([entry(kind, policy="always")])
    found = drained(host, dry=True)
    assert (found["gone"], host.calls, list(tmp_path.iterdir())) == (False, [], [])
    assert found["changed"]
    assert found["commands"]


# --- directories of users, and what else somebody may put in the way -------------------------------------------------

STRANGER = 54322
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can work as another user")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user reaches, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def units_of(root: Path, user: int) -> Path:
    units = root / f"user/{user}/systemd/user"
    units.mkdir(parents=True)
    for path in (root / f"user/{user}", root / f"user/{user}/systemd", units):
        os.chown(path, user, user)
    return units


@needs_root
def test_link_in_a_users_directory_leads_root_nowhere(monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    victim = shared / "victim"
    victim.mkdir()
    (units_of(shared, STRANGER) / f"{UNIT}.d").symlink_to(victim)
    host = Host([entry("systemd", supervisor={"user": STRANGER})], ends=False)
    monkeypatch.setattr(search, "everywhere", host.everywhere)
    with pytest.raises(DrainError, match="as user 54322"):
        Drain(Told(host), ID, runtime=shared, root=shared / "proc").drain(0.0)
    assert (victim.stat().st_uid, victim.stat().st_mode & 0o777, list(victim.iterdir())) == (0, 0o755, [])


@needs_root
def test_link_in_place_of_our_file_leads_root_nowhere(monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    victim = shared / "shadow"
    victim.write_text("secret")
    victim.chmod(0o600)
    folder = units_of(shared, STRANGER) / f"{UNIT}.d"
    folder.mkdir()
    os.chown(folder, STRANGER, STRANGER)
    for name in (stop.DROP_IN, f".{stop.DROP_IN}.partial"):
        (folder / name).symlink_to(victim)
    host = Host([entry("systemd", supervisor={"user": STRANGER})], ends=False)
    monkeypatch.setattr(search, "everywhere", host.everywhere)
    with pytest.raises(DrainError):
        Drain(Told(host), ID, runtime=shared, root=shared / "proc").drain(0.0)
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("secret", 0o600)


def test_unit_that_could_not_be_told_is_told_by_the_next_run(drained: Drained, tmp_path: Path) -> None:
    host = Host([entry("systemd", supervisor={"user": os.getuid()})], ends=False)
    blocking = tmp_path / f"user/{os.getuid()}/systemd/user/{UNIT}.d"
    blocking.parent.mkdir(parents=True)
    blocking.write_text("in the way")
    with pytest.raises(DrainError, match="run again"):
        drained(host)
    blocking.unlink()
    assert host.calls == []
    drained(host)
    assert host.calls[-1].endswith(f"stop --no-block -- {UNIT}")


@needs_root
def test_drop_in_of_a_user_is_that_users_and_goes_again(monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    folder = units_of(shared, STRANGER) / f"{UNIT}.d"
    host = Host([entry("systemd", supervisor={"user": STRANGER})], ends=False)
    monkeypatch.setattr(search, "everywhere", host.everywhere)
    Drain(Told(host), ID, runtime=shared, root=shared / "proc").drain(0.0)
    found = (folder / stop.DROP_IN).stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (STRANGER, systemd.user_group(STRANGER), 0o644)
    host.state, host.found = "inactive", []
    Drain(Told(host), ID, runtime=shared, root=shared / "proc").drain(0.0)
    assert not folder.exists()


def test_nothing_in_a_users_directory_is_touched_but_by_that_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[Sequence[str]] = []

    def run(argv: Sequence[str]) -> tuple[int, str, str]:
        calls.append(argv)
        return 0, "ActiveState=deactivating\n" if "show" in argv and len(calls) > 1 else "ActiveState=active\n", ""

    host = Host([entry("systemd", supervisor={"user": STRANGER})])
    monkeypatch.setattr(search, "everywhere", host.everywhere)
    Drain(Told(run), ID, runtime=tmp_path, root=tmp_path / "proc").drain(0.0)
    assert {tuple(argv[:1]) for argv in calls} == {("setpriv",)}
    assert all(
        {"--clear-groups", "--no-new-privs", f"--regid={systemd.user_group(STRANGER)}"} <= set(argv) for argv in calls
    )
    assert "--regid=0" not in calls[0]
    assert [path.name for path in tmp_path.iterdir()] == ["livekit-agent-deploy"]


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(f"systemd/system/a.service.d/{stop.DROP_IN}/x", id="a directory in its place"),
        pytest.param(f"systemd/system/-b.service.d/{stop.DROP_IN}", id="a name like an option"),
        pytest.param(f"systemd/system/\x1b[2J\n.service.d/{stop.DROP_IN}", id="a strange name"),
        pytest.param(f"user/1000/systemd/user/c.service.d/{stop.DROP_IN}/x", id="a directory in a user's"),
        pytest.param(f"user/nobody/systemd/user/c.service.d/{stop.DROP_IN}", id="a user without a number"),
    ],
)
def test_what_lies_about_keeps_no_worker_from_being_evicted(drained: Drained, tmp_path: Path, planted: str) -> None:
    path = tmp_path / planted
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert drained(Host([entry()]))["gone"]


def test_unit_that_does_not_answer_keeps_no_other_worker_from_being_evicted(drained: Drained, tmp_path: Path) -> None:
    host = Host([entry("systemd", supervisor={"user": os.getuid()})], ends=False)
    drained(host)
    host.found = [entry(worker_id="AW_2", worker_ids=["AW_2"])]

    def run(argv: Sequence[str]) -> tuple[int, str, str]:
        return (124, "", "did not end in time") if "systemctl" in argv else host(argv)

    found = drained(run_of(host, run), "AW_2")
    assert (found["gone"], "agent.service" in found["warnings"][0], "does not answer" in found["warnings"][0]) == (
        True,
        True,
        True,
    )
    assert (tmp_path / f"user/{os.getuid()}/systemd/user/agent.service.d" / stop.DROP_IN).exists()


def run_of(host: Host, run: Callable[[Sequence[str]], tuple[int, str, str]]) -> Any:
    run.everywhere = host.everywhere  # type: ignore[attr-defined]
    host.ends = True
    return run


def test_unit_whose_manager_does_not_answer_is_not_gone_while_its_process_runs(
    drained: Drained, tmp_path: Path
) -> None:
    running_process(tmp_path, 5000)
    host = Host([entry("systemd")], ends=False)
    told: list[str] = []

    def run(argv: Sequence[str]) -> tuple[int, str, str]:
        told.append(" ".join(argv))
        return (124, "", "") if any("stop" in one for one in told) and "show" in argv else host(argv)

    assert drained(run_of(host, run))["gone"] is False


def test_unit_whose_name_is_an_option_is_named_after_the_dashes(drained: Drained) -> None:
    host = Host([entry("systemd", supervisor={"name": "--force.service"})])
    found = drained(host)
    assert host.calls[1] == "systemctl stop --no-block -- --force.service"
    assert "systemctl stop --no-block -- --force.service" in found["commands"]


# --- records ---------------------------------------------------------------------------------------------------------


def place(tmp_path: Path) -> Path:
    folder = tmp_path / "livekit-agent-deploy/evictions"
    folder.mkdir(parents=True, mode=0o700)
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "{}",
        "null",
        "[" * 10_000,
        '{"a":' * 10_000,
        "\xff",
        "",
        '{"worker_id": 1, "worker_ids": null}',
        json.dumps({"worker_id": "AW_9; reboot #", "worker_ids": []}),
    ],
)
def test_record_of_a_strange_form_is_none(drained: Drained, tmp_path: Path, text: str) -> None:
    (place(tmp_path) / f"{ID}.json").write_text(text)
    assert Records(tmp_path).all() == []
    assert drained(Host([entry()]))["gone"]


def test_what_is_no_file_is_no_record(tmp_path: Path) -> None:
    folder = place(tmp_path)
    (folder / "AW_1.json").mkdir()
    os.mkfifo(folder / "AW_2.json")
    (folder / "AW_3.json").symlink_to("/dev/zero")
    assert Records(tmp_path).all() == []


def test_records_in_a_directory_that_others_can_write_do_not_count(drained: Drained, tmp_path: Path) -> None:
    drained(Host([entry()], ends=False))
    (tmp_path / "livekit-agent-deploy/evictions").chmod(0o777)
    assert Records(tmp_path).all() == []
    with pytest.raises(DrainError, match="only root can write"):
        drained(Host([entry()], ends=False))


def test_worker_id_that_livekit_does_not_make_is_no_name_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(DrainError, match="as LiveKit makes it"):
        Records(tmp_path).write("AW_/../../x", {})
