"""One worker is told to stop once, the right way for whoever keeps it running; with an Engine, systemd and processes made up."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy import drain, process, worker
from ansible.module_utils.livekit_deploy.drain import Drain, DrainError

from tests.unit.module_utils.standin import Told

ID = "AW_1"
UNIT = "agent.service"


def entry(kind: str = "docker", **changes: Any) -> dict[str, Any]:
    supervisor = process.supervised(kind, {"systemd": UNIT, "other": "supervisord"}.get(kind, ""), policy=changes.pop("policy", ""))
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
    """``ends`` says whether the worker ends when it is told; ``calls`` are the commands that were run, without mere looks."""

    def __init__(self, found: list[dict[str, Any]], *, ends: bool = True, stop_signal: str = "") -> None:
        self.found, self.ends, self.stop_signal = found, ends, stop_signal
        self.state, self.calls = "active", list[str]()

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        if argv[:2] == ["docker", "inspect"]:
            running = not (self.ends and any("kill" in call for call in self.calls))
            return 0, json.dumps([{"Config": {"StopSignal": self.stop_signal}, "State": {"Running": running}}]), ""
        if "show" in argv:
            return 0, f"ActiveState={self.state}\n", ""
        self.calls.append(" ".join(argv))
        if "stop" in argv:
            self.state = "inactive" if self.ends else "deactivating"
        return 0, "", ""

    def everywhere(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"workers": self.found, "unread": []}


Drained = Callable[..., dict[str, Any]]


@pytest.fixture
def drained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Drained:
    monkeypatch.setattr(drain, "LOOK_SECONDS", 0.01)

    def run(host: Host, worker_id: str = ID, **options: Any) -> dict[str, Any]:
        monkeypatch.setattr(worker, "everywhere", host.everywhere)
        return Drain(Told(host), worker_id, runtime=tmp_path, root=tmp_path / "proc", **options).drain(0.05)

    return run


# --- Docker ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "stop_signal", "calls"),
    [
        ("no", "", ["docker kill --signal TERM agent-1"]),
        ("unless-stopped", "SIGTERM", ["docker kill --signal TERM agent-1"]),
        ("on-failure", "SIGINT", ["docker kill --signal INT agent-1"]),
        ("always", "", ["docker update --restart unless-stopped agent-1", "docker kill --signal TERM agent-1"]),
    ],
)
def test_container_is_told_once_through_docker(drained: Drained, policy: str, stop_signal: str, calls: list[str]) -> None:
    host = Host([entry(policy=policy)], stop_signal=stop_signal)
    found = drained(host)
    assert (host.calls, found["commands"], found["gone"], found["changed"]) == (calls, calls, True, True)


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
    text = (tmp_path / "systemd/system/agent.service.d" / drain.DROP_IN).read_text()
    assert {"TimeoutStopSec=infinity", "KillMode=mixed", "ExecStop="} <= set(text.splitlines())
    assert host.calls == ["systemctl daemon-reload", f"systemctl stop --no-block {UNIT}"]


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
    assert (tmp_path / f"user/{me}/systemd/user/agent.service.d" / drain.DROP_IN).exists()
    assert host.calls[-1].endswith(f"systemctl --user stop --no-block {UNIT}")


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
    assert (found["gone"], found["changed"], found["start_command"]) == (True, False, "docker update --restart always agent-1 && start it")


@pytest.mark.parametrize("kind", ["docker", "systemd", "none"])
def test_check_mode_tells_the_commands_and_does_nothing(drained: Drained, tmp_path: Path, kind: str) -> None:
    host = Host([entry(kind, policy="always")])
    found = drained(host, dry=True)
    assert (found["gone"], host.calls, list(tmp_path.iterdir())) == (False, [], [])
    assert found["changed"]
    assert found["commands"]
