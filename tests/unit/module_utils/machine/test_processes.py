"""Worker processes in a made-up /proc: which of them are workers, who keeps them running, where their log is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import (
    cgroups,
    command_lines,
    logs,
    process_log,
    processes,
    supervisors,
)
from ansible.module_utils.livekit_deploy.machine.systemd import enabled
from ansible.module_utils.livekit_deploy.worker import readings, search

from tests.unit.module_utils.standin import Told

NAMED = {"LIVEKIT_AGENT_NAME": "a", "LIVEKIT_URL": "ws://s", "LIVEKIT_API_SECRET": "do-not-tell"}
URL_ONLY = {"LIVEKIT_URL": "ws://s"}
PYTHON = ("python3", "agent.py", "start")
FORKSERVER = (
    "python3",
    "-c",
    "from multiprocessing.forkserver import main; main(12, 14, ['livekit.agents.ipc._preload'])",
)
TRACKER = ("python3", "-c", "from multiprocessing.resource_tracker import main;main(12)")
SSH = "/system.slice/ssh.service"
AGENT = "/system.slice/agent.service"
DOCKER_ID = "0a" * 32


class Proc:
    """A /proc that is built process by process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "stat").write_text("cpu 1\nbtime 1700000000\n")
        (root / "self/ns").mkdir(parents=True)
        (root / "self/ns/net").symlink_to("net:[1]")
        self.add(1, 0, ("/sbin/init",), comm="systemd", cgroup="/init.scope")

    def add(
        self,
        pid: int,
        parent: int,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        comm: str = "",
        cgroup: str = SSH,
        output: str = "/dev/null",
    ) -> None:
        entry = self.root / str(pid)
        (entry / "fd").mkdir(parents=True)
        (entry / "ns").mkdir()
        (entry / "net").mkdir()
        comm = comm or Path(argv[0].lstrip("-")).name
        (entry / "stat").write_text(f"{pid} ({comm}) S {parent} {' '.join(['0'] * 17)} {pid * 100} 0\n")
        (entry / "cmdline").write_bytes(b"".join(a.encode() + b"\0" for a in argv))
        (entry / "environ").write_bytes(b"".join(f"{k}={v}".encode() + b"\0" for k, v in (env or {}).items()))
        (entry / "cgroup").write_text(f"9:name=systemd:{cgroup}\n1:cpu:/\n0::{cgroup}\n")
        (entry / "cwd").symlink_to("/srv/agent")
        (entry / "ns/net").symlink_to("net:[1]")
        for number in "012":
            (entry / "fd" / number).symlink_to(output)
        for name in ("tcp", "tcp6"):
            (entry / "net" / name).write_text("heading\n")

    def table(self) -> processes.Table:
        return processes.read_table(self.root)

    def workers(self, docker_ids: Sequence[str] = ()) -> list[int]:
        return sorted(found.pid for found in processes.candidates(self.table(), docker_ids))


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


JOURNAL = "1795387522.341152 host python3[50]: of the journal\n"


def systemd(**properties: str) -> Any:
    """A host whose systemctl and journalctl answer this."""

    def run(argv: Sequence[str]) -> tuple[int, str, str]:
        if "show" in argv:
            return 0, "".join(f"{name}={value}\n" for name, value in properties.items()), ""
        return (0, JOURNAL, "") if argv[0] == "journalctl" else (127, "", "unexpected")

    return Told(run)


# --- which are workers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "env", "is_candidate"),
    [
        pytest.param(PYTHON, NAMED, True, id="a name and start"),
        pytest.param(PYTHON, {"LIVEKIT_AGENT_NAME_OVERRIDE": "a"}, True, id="an override"),
        pytest.param(PYTHON, URL_ONLY, True, id="a URL and start"),
        pytest.param(("python3", "agent.py", "dev"), URL_ONLY, True, id="a URL and dev"),
        pytest.param(("python3", "run.py"), NAMED, True, id="a name alone"),
        pytest.param(("python3", "api.py"), URL_ONLY, False, id="a URL alone"),
        pytest.param(("service", "start"), {}, False, id="start alone"),
        pytest.param(FORKSERVER, NAMED, False, id="a helper"),
        pytest.param(("-bash",), NAMED, False, id="a shell that has the variables"),
        pytest.param(("bash", "run.sh", "start"), NAMED, False, id="a script that has the variables"),
    ],
)
def test_worker_is_told_from_other_processes(
    proc: Proc, argv: Sequence[str], env: Mapping[str, str], is_candidate: bool
) -> None:
    proc.add(50, 1, argv, env=env)
    assert proc.workers() == ([50] if is_candidate else [])


def test_of_a_worker_and_its_job_processes_only_the_worker_is_told(proc: Proc) -> None:
    proc.add(50, 1, PYTHON, env=NAMED)
    proc.add(51, 50, TRACKER, env=NAMED)
    proc.add(52, 50, FORKSERVER, env=NAMED)
    proc.add(53, 52, FORKSERVER, env=NAMED)
    assert proc.workers() == [50]


def test_worker_that_reads_its_environment_from_a_file_is_found_by_its_helper(proc: Proc) -> None:
    proc.add(50, 1, ("python3", "main.py"))
    proc.add(52, 50, FORKSERVER, env=NAMED)
    table = proc.table()
    (found,) = processes.candidates(table)
    assert (found.pid, processes.worker_environment(table, found)["LIVEKIT_AGENT_NAME"]) == (50, "a")


@pytest.mark.parametrize("wrapper", [("uv", "run", "agent.py", "start"), ("sh", "-c", "python3 agent.py start")])
def test_wrapper_around_a_worker_is_none(proc: Proc, wrapper: Sequence[str]) -> None:
    proc.add(40, 1, wrapper, env=NAMED)
    proc.add(50, 40, PYTHON, env=NAMED)
    assert proc.workers() == [50]


def test_what_a_worker_started_is_none_even_if_it_looks_like_one(proc: Proc) -> None:
    proc.add(50, 1, PYTHON, env=NAMED)
    proc.add(52, 50, FORKSERVER, env=NAMED)
    proc.add(60, 53, ("node", "tool.js", "start"), env=NAMED)
    proc.add(53, 52, FORKSERVER, env=NAMED)
    assert proc.workers() == [50]


def test_job_process_whose_worker_was_killed_makes_its_new_parent_no_worker(proc: Proc) -> None:
    proc.add(52, 1, FORKSERVER, env=NAMED)
    proc.add(30, 1, ("/lib/systemd/systemd", "--user"), comm="systemd")
    proc.add(53, 30, FORKSERVER, env=NAMED)
    assert proc.workers() == []


def test_two_workers_of_one_parent_are_two(proc: Proc) -> None:
    proc.add(40, 1, ("supervisord",), env=NAMED)
    proc.add(50, 40, PYTHON, env=NAMED)
    proc.add(60, 40, PYTHON, env=NAMED)
    assert proc.workers() == [50, 60]


@pytest.mark.parametrize(
    "cgroup", [f"/docker/{DOCKER_ID}", f"/system.slice/docker-{DOCKER_ID}.scope", f"/docker/{DOCKER_ID}/docker/x"]
)
def test_process_of_a_listed_container_is_left_to_the_engine(proc: Proc, cgroup: str) -> None:
    proc.add(50, 1, PYTHON, env=NAMED, cgroup=cgroup)
    assert proc.workers([DOCKER_ID]) == []


def test_process_of_a_container_inside_a_container_is_not_taken_for_the_outer_one(proc: Proc) -> None:
    proc.add(50, 1, PYTHON, env=NAMED, cgroup=f"/docker/{DOCKER_ID}/docker/{'0b' * 32}")
    assert proc.workers([DOCKER_ID]) == [50]


def test_process_of_a_container_the_engine_does_not_list_is_found(proc: Proc) -> None:
    proc.add(50, 1, PYTHON, env=NAMED, cgroup=f"/user.slice/docker-{DOCKER_ID}.scope")
    assert proc.workers(["other"]) == [50]


def test_environment_that_may_not_be_read_is_counted(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    proc.add(50, 1, PYTHON, env=NAMED)
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "environ" and path.parent.name == "50":
            raise PermissionError
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert proc.table().hidden == (50,)


def test_process_that_ends_while_it_is_read_is_left_out(proc: Proc) -> None:
    proc.add(50, 1, PYTHON, env=NAMED)
    (proc.root / "50/cgroup").unlink()
    assert proc.workers() == []


# --- what keeps them running -----------------------------------------------------------------------------------------


def supervisor(proc: Proc, pid: int = 50, **properties: str) -> tuple[str, str]:
    table = proc.table()
    found = supervisors.process_supervisor(systemd(**properties), table, table.processes[pid])
    return found["kind"], found["name"]


@pytest.mark.parametrize(
    ("parent", "comm", "expected"),
    [
        pytest.param(("-bash",), "bash", ("none", "bash"), id="a log-in shell"),
        pytest.param(("bash", "-l", "--norc"), "bash", ("none", "bash"), id="a shell without a script"),
        pytest.param(("tmux", "new"), "tmux: server", ("none", "tmux: server"), id="tmux"),
        pytest.param(("SCREEN", "-S", "x"), "screen", ("none", "screen"), id="screen"),
        pytest.param(("sshd-session: deploy@notty",), "sshd-session", ("none", "sshd-session"), id="sshd"),
        pytest.param(("/lib/systemd/systemd", "--user"), "systemd", ("none", ""), id="a user's manager"),
        pytest.param(("bash", "loop.sh"), "bash", ("other", "bash loop.sh"), id="a script"),
        pytest.param(("sh", "-c", "while :; do x; done"), "sh", ("other", "sh -c …"), id="a shell with a command"),
        pytest.param(
            ("/usr/bin/python3", "/usr/bin/supervisord"), "supervisord", ("other", "supervisord"), id="supervisord"
        ),
        pytest.param(("PM2 v5: God Daemon (/root/.pm2)",), "PM2 v5", ("other", "PM2 v5"), id="pm2"),
        pytest.param(("runsv", "agent"), "runsv", ("other", "runsv"), id="runsv"),
    ],
)
def test_supervisor_is_what_would_start_the_worker_again(
    proc: Proc, parent: Sequence[str], comm: str, expected: tuple[str, str]
) -> None:
    proc.add(40, 1, parent, comm=comm)
    proc.add(50, 40, PYTHON, env=NAMED)
    assert supervisor(proc) == expected


def test_process_without_a_parent_in_a_foreign_unit_has_no_supervisor(proc: Proc) -> None:
    proc.add(50, 1, PYTHON, env=NAMED, cgroup=SSH)
    assert supervisor(proc, MainPID="7") == ("none", "")


def test_main_process_of_a_unit_is_supervised_by_systemd(proc: Proc) -> None:
    proc.add(50, 1, PYTHON, env=NAMED, cgroup=AGENT)
    assert supervisor(proc, MainPID="50", UnitFileState="enabled") == ("systemd", "agent.service")


@pytest.mark.parametrize(
    ("state", "starts"), [("enabled", True), ("disabled", False), ("transient", False), ("static", None), ("", None)]
)
def test_unit_file_says_whether_it_starts_at_boot(state: str, starts: bool | None) -> None:
    assert enabled(state) is starts


def test_forwarding_wrapper_of_a_unit_counts_as_the_worker(proc: Proc) -> None:
    proc.add(40, 1, ("uv", "run", "agent.py", "start"), env=NAMED, cgroup=AGENT)
    proc.add(50, 40, PYTHON, env=NAMED, cgroup=AGENT)
    assert supervisor(proc, MainPID="40") == ("systemd", "agent.service")


def test_unit_whose_main_process_is_a_shell_is_not_trusted_with_the_signal(proc: Proc) -> None:
    proc.add(40, 1, ("sh", "-c", "python3 agent.py start | cat"), env=NAMED, cgroup=AGENT)
    proc.add(50, 40, PYTHON, env=NAMED, cgroup=AGENT)
    assert supervisor(proc, MainPID="40") == ("other", "sh -c …")


@pytest.mark.parametrize(
    ("cgroup", "name"),
    [
        (f"/machine.slice/libpod-{DOCKER_ID}.scope", "Podman container 0a0a0a0a0a0a"),
        (f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{DOCKER_ID}.scope", "Kubernetes container"),
        (f"/system.slice/nerdctl-{DOCKER_ID}.scope", "containerd container 0a0a0a0a0a0a"),
        ("/lxc.payload.web/system.slice/agent.service", "LXC container web"),
        (f"/docker/{DOCKER_ID}", "Docker container 0a0a0a0a0a0a"),
    ],
)
def test_container_of_another_engine_is_another_supervisor(proc: Proc, cgroup: str, name: str) -> None:
    proc.add(50, 1, PYTHON, env=NAMED, cgroup=cgroup)
    assert supervisor(proc) == ("other", name)


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        (AGENT, cgroups.Unit("agent.service")),
        ("/system.slice/system-agent.slice/agent@1.service/sub", cgroups.Unit("agent@1.service")),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service", cgroups.Unit("agent.service", 1000)),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", None),
        ("/user.slice/user-1000.slice/session-3.scope", None),
        ("/", None),
    ],
)
def test_unit_is_read_from_the_control_group(cgroup: str, unit: cgroups.Unit | None) -> None:
    assert cgroups.cgroup_unit(cgroup) == unit


@pytest.mark.parametrize(
    ("argv", "name", "expected"),
    [
        pytest.param(
            ("/usr/bin/docker", "run", "--rm", "--name", "web", "image"), "/web", True, id="run with the name"
        ),
        pytest.param(("docker", "start", "-a", "web"), "/web", True, id="start"),
        pytest.param(("docker", "compose", "up"), "/x", True, id="compose in its directory"),
        pytest.param(("docker", "run", "--name=other", "image"), "/web", False, id="another container"),
        pytest.param(("dockerd",), "/web", False, id="the Engine itself"),
    ],
)
def test_docker_client_in_a_unit_would_start_its_container_again(
    proc: Proc, argv: Sequence[str], name: str, expected: bool
) -> None:
    proc.add(50, 1, argv, cgroup="/system.slice/run.service")
    container = {"Name": name, "Config": {"Labels": {"com.docker.compose.project.working_dir": "/srv/agent"}}}
    assert bool(supervisors.client_unit(proc.table(), proc.root, container)) is expected


@pytest.mark.parametrize(
    ("first", "child", "expected"),
    [
        pytest.param(PYTHON, None, None, id="the worker itself"),
        pytest.param(("/sbin/docker-init", "--", *PYTHON), PYTHON, None, id="docker's init"),
        pytest.param(("sh", "-c", "python3 agent.py start"), PYTHON, "sh -c …", id="a shell"),
        pytest.param(
            ("/sbin/docker-init", "--", "sh", "run.sh"), ("sh", "run.sh"), "sh run.sh", id="a shell behind the init"
        ),
    ],
)
def test_shell_before_the_worker_swallows_the_signal(
    proc: Proc, first: Sequence[str], child: Any, expected: str | None
) -> None:
    proc.add(50, 1, first)
    if child:
        proc.add(51, 50, child)
    assert supervisors.swallows_signal(proc.table(), 50) == expected


# --- how to start them again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("supervised", "command"),
    [
        (supervisors.supervised("systemd", "agent.service"), "systemctl start agent.service"),
        (
            supervisors.supervised("systemd", "agent.service", user=1000),
            "systemctl --user start agent.service  # as user 1000",
        ),
        (supervisors.supervised("none", "bash"), "cd /srv/agent && python3 agent.py start"),
        (supervisors.supervised("other", "supervisord"), ""),
    ],
)
def test_command_starts_the_worker_the_way_it_was_started(
    proc: Proc, supervised: supervisors.Supervisor, command: str
) -> None:
    proc.add(50, 1, PYTHON)
    assert supervisors.process_start_command(supervised, proc.table().processes[50], "/srv/agent") == command


@pytest.mark.parametrize(
    "argv",
    [
        ("--api-secret", "do-not-tell"),
        ("--api-secret=do-not-tell",),
        ("--api-key", "do-not-tell"),
        ("TOKEN=do-not-tell",),
        ("-c", "python3 agent.py --api-secret do-not-tell"),
        ("-c", "python3 agent.py --api-secret=do-not-tell"),
    ],
)
def test_command_never_shows_a_secret(argv: Sequence[str]) -> None:
    assert "do-not-tell" not in command_lines.shown_argv(["python3", "agent.py", "start", *argv])


def test_environment_is_in_no_text_of_a_process(proc: Proc) -> None:
    proc.add(50, 1, PYTHON, env=NAMED)
    assert "do-not-tell" not in repr(proc.table())


# --- what they say ---------------------------------------------------------------------------------------------------


def log_of(proc: Proc, output: str, cgroup: str = SSH, **properties: str) -> logs.Log:
    proc.add(50, 1, PYTHON, cgroup=cgroup, output=output)
    return process_log.process_log(systemd(**properties), proc.root, proc.table().processes[50])


def test_log_is_the_file_the_process_writes_to(proc: Proc) -> None:
    (proc.root / "log").write_text("one\ntwo\n")
    assert list(log_of(proc, str(proc.root / "log"))) == ["one", "two"]


def test_file_comes_before_the_journal(proc: Proc) -> None:
    (proc.root / "log").write_text("of the file\n")
    assert list(log_of(proc, str(proc.root / "log"), AGENT, InvocationID="1")) == ["of the file"]


def test_log_of_a_unit_is_the_journal_of_its_present_run(proc: Proc) -> None:
    assert list(log_of(proc, "socket:[7]", AGENT, InvocationID="1")) == ["@1795387522.341152 of the journal"]


@pytest.mark.parametrize("output", ["pipe:[7]", "/dev/null"])
def test_log_that_nobody_keeps_is_said_to_be_unread(proc: Proc, output: str) -> None:
    assert output in log_of(proc, output).unread


def test_unit_without_a_present_run_is_said_to_be_unread(proc: Proc) -> None:
    assert "agent.service" in log_of(proc, "socket:[7]", AGENT).unread


def test_long_log_is_read_from_its_end(proc: Proc) -> None:
    (proc.root / "log").write_text("one\ntwo\n")
    log = logs.FileLog([proc.root / "log"], size=4)
    assert (list(log), log.older) == (["two"], "only its newest 4 bytes were read")


ROW = "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1"


def listening(proc: Proc, address: str = "0100007F:1F91", state: str = "0A", inode: int = 77) -> list[tuple[str, int]]:
    proc.add(50, 1, PYTHON)
    (proc.root / "50/fd/9").symlink_to("socket:[77]")
    (proc.root / "50/net/tcp").write_text(f"heading\n{ROW.format(address=address, state=state, inode=inode)}\n")
    return processes.addresses(proc.root, proc.table().processes[50])


@pytest.mark.skipif(sys.byteorder != "little", reason="the kernel writes addresses in the machine's byte order")
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param({}, [("127.0.0.1", 8081)], id="loopback"),
        pytest.param({"address": "00000000:0050"}, [("127.0.0.1", 80)], id="all addresses"),
        pytest.param({"address": "0500A8C0:1F91"}, [("192.168.0.5", 8081)], id="one address"),
        pytest.param({"state": "01"}, [], id="a connection"),
        pytest.param({"inode": 78}, [], id="somebody else's"),
    ],
)
def test_worker_is_asked_only_where_it_listens_itself(
    proc: Proc, row: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    assert listening(proc, **row) == expected


def test_worker_in_another_network_is_not_asked(proc: Proc) -> None:
    (proc.root / "self/ns/net").unlink()
    (proc.root / "self/ns/net").symlink_to("net:[2]")
    assert listening(proc) == []


def test_start_of_a_process_is_told_as_a_time(proc: Proc) -> None:
    proc.add(50, 1, PYTHON)
    assert processes.started_at(proc.root, proc.table().processes[50]).startswith("2023-11-14T22:1")


# --- the whole reading -----------------------------------------------------------------------------------------------

REGISTERED = json.dumps({"message": "registered worker", "id": "AW_1", "agent_name": "a", "timestamp": "t"})


def no_docker(argv: Sequence[str]) -> tuple[int, str, str]:
    return (127, "", "docker: No such file or directory") if argv[0] == "docker" else (0, "", "")


def read(proc: Proc, argv: Sequence[str], log: str = REGISTERED) -> list[Any]:
    (proc.root / "log").write_text(log + "\n")
    proc.add(50, 1, argv, env=NAMED, output=str(proc.root / "log"))
    found = search.everywhere(Told(no_docker), proc.root)
    assert found["unread"] == []
    return list(found["workers"])


def test_process_is_read_as_a_container_is(proc: Proc) -> None:
    (found,) = read(proc, PYTHON)
    expected = {
        "kind": "process",
        "container": "process 50",
        "pid": 50,
        "worker_id": "AW_1",
        "connected": True,
        "configured_url": "ws://s",
    }
    assert {key: found[key] for key in expected} == expected
    container = {
        "Id": "0a",
        "Name": "/x",
        "State": {"Running": False, "ExitCode": 0, "StartedAt": "t"},
        "Config": {"Image": "i"},
    }
    assert found.keys() - {"start_ticks"} == readings.reading(container, logs.Log(), readings.Selection()).keys()


def test_program_that_only_keeps_a_workers_log_is_no_worker(proc: Proc) -> None:
    assert read(proc, ("tee", "log")) == []


def test_nothing_of_the_environment_but_names_and_url_is_told(proc: Proc) -> None:
    assert "do-not-tell" not in json.dumps(read(proc, PYTHON))


# --- what a stranger may choose --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (PYTHON, "python3 agent.py start"),
        (("python3", "-u", "-m", "agent.main", "start"), "python3 -u -m agent.main start"),
        (("uv", "run", "--with", "do-not-tell", "agent.py", "start"), "uv run agent.py start …"),
        (("poetry", "run", "python", "agent.py", "start"), "poetry run python agent.py start"),
        (("env", "TOKEN=do-not-tell", "python3", "agent.py"), "env python3 agent.py …"),
        (("python3", "agent.py", "start", "--database-url", "postgres://u:do-not-tell@h"), "python3 agent.py start …"),
        (("node", "agent.js", "start", "--auth=do-not-tell"), "node agent.js start …"),
        (("python3", "agent.py", "do-not-tell"), "python3 agent.py …"),
        (("python3", "-c", "do-not-tell"), "python3 …"),
        (("sh", "-ec", "do-not-tell"), "sh …"),
        (("agent: worker do-not-tell",), "unknown-program …"),
        (("/srv/agent do-not-tell",), "/srv/agent …"),
        (("agent", "-do-not-tell", "start"), "agent start …"),
        ((), "unknown-program …"),
    ],
)
def test_command_line_is_told_without_what_may_be_a_secret(argv: Sequence[str], shown: str) -> None:
    assert command_lines.shown_argv(argv) == shown


def test_command_that_is_not_told_whole_says_so(proc: Proc) -> None:
    proc.add(50, 1, (*PYTHON, "--dsn", "postgres://u:do-not-tell@h"))
    said = supervisors.process_start_command(
        supervisors.supervised("none", "bash"), proc.table().processes[50], "/srv/my agent"
    )
    assert (
        said
        == "cd '/srv/my agent' && python3 agent.py start  # and its options, which are not told: they may hold secrets"
    )


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service", cgroups.Unit("agent.service", 1000)),
        (
            "/user.slice/user-1000.slice/user@1000.service/user@0.service/agent.service",
            cgroups.Unit("agent.service", 1000),
        ),
        ("/user.slice/user-1000.slice/user@1000.service/a b;reboot.service", None),
        ("/system.slice/theirs.service/user@0.service/agent.service", cgroups.Unit("agent.service")),
        ("/system.slice/agent.service", cgroups.Unit("agent.service")),
    ],
)
def test_unit_is_the_one_whose_manager_runs_the_process(cgroup: str, unit: cgroups.Unit | None) -> None:
    assert cgroups.cgroup_unit(cgroup) == unit


def test_bytes_in_a_control_groups_name_hide_no_other_process(proc: Proc) -> None:
    proc.add(50, 1, PYTHON, env=NAMED)
    proc.add(60, 1, PYTHON, env=NAMED)
    (proc.root / "60/cgroup").write_bytes(b"0::/user.slice/\xff.service\n")
    assert proc.workers() == [50, 60]


def test_manager_of_a_user_may_answer_anything(proc: Proc) -> None:
    proc.add(50, 1, PYTHON, env=NAMED, cgroup="/user.slice/user-1000.slice/user@1000.service/agent.service")
    table = proc.table()
    found = supervisors.process_supervisor(systemd(MainPID="many", ActiveState="\x1b[2J"), table, table.processes[50])
    assert found["kind"] == "none"


def test_user_whose_manager_does_not_answer_is_asked_once(proc: Proc) -> None:
    asked = []

    def run(argv: Sequence[str]) -> tuple[int, str, str]:
        asked.append(argv)
        return 124, "", "did not end in time"

    for pid in range(50, 60):
        proc.add(pid, 1, PYTHON, env=NAMED, cgroup="/user.slice/user-1000.slice/user@1000.service/agent.service")
    table = proc.table()
    for pid in range(50, 60):
        supervisors.process_supervisor(run, table, table.processes[pid])
    assert len(asked) == 1


def test_pipe_in_place_of_a_log_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    log = logs.FileLog([tmp_path / "log"])
    assert (list(log), log.unread) == ([], "it cannot be read: is no regular file")


NODE_HELPER = (
    "/usr/local/bin/node",
    "/app/node_modules/@livekit/agents/dist/ipc/job_proc_lazy_main.js",
    "/app/dist/agent.js",
)


@pytest.mark.parametrize(
    "argv", [("node", "dist/agent.js", "start"), ("node", "dist/agent.js"), ("/usr/bin/nodejs", "agent.js")]
)
def test_node_worker_is_known_by_the_jobs_it_forked(proc: Proc, argv: Sequence[str]) -> None:
    proc.add(50, 1, argv)
    proc.add(51, 50, NODE_HELPER)
    assert proc.workers() == [50]


def test_node_worker_is_read_as_one(proc: Proc) -> None:
    line = json.dumps({"level": 30, "time": 1764273660123, "id": "AW_1", "agentName": "a", "msg": "registered worker"})
    (found,) = read(proc, ("node", "dist/agent.js", "start"), line)
    assert (found["worker_id"], found["agent_name"], found["sdk"], found["dev"]) == ("AW_1", "a", "node", False)


@pytest.mark.parametrize(
    ("groups", "where", "text", "expected"),
    [
        pytest.param("0::/docker/abc\n", "docker/abc/memory.events", "low 0\noom 4\noom_kill 3\n", 3, id="version 2"),
        pytest.param(
            "4:memory:/docker/abc\n0::/x\n",
            "memory/docker/abc/memory.oom_control",
            "under_oom 0\noom_kill 2\n",
            2,
            id="version 1",
        ),
        pytest.param("0::/\n", "memory.events", "oom_kill 9\n", 0, id="not of a group of its own"),
        pytest.param("0::/../x\n", "x/memory.events", "oom_kill 9\n", 0, id="outside"),
        pytest.param("0::/docker/abc\n", "other", "", 0, id="not there"),
    ],
)
def test_processes_that_the_kernel_killed_are_counted(
    tmp_path: Path, groups: str, where: str, text: str, expected: int
) -> None:
    entry = tmp_path / "proc/50"
    entry.mkdir(parents=True)
    (entry / "cgroup").write_text(groups)
    file = tmp_path / "groups" / where
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert cgroups.oom_kills(tmp_path / "proc", 50, tmp_path / "groups") == expected
