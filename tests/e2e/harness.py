"""What the end-to-end tests stand on: run a playbook as a user would, read what it did, look at a host."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import ansible_runner
import yaml

ROOT = Path(__file__).resolve().parents[2]
APP = "sidekick"
NGINX = 80
API_PORTS = (18101, 18102)
HOOKS_RAN = "/tmp/hooks-ran"
ROLES = ROOT / "roles"


def tasks_in(node: Any) -> Iterator[dict[str, Any]]:
    """Every task of a file, also in its blocks."""
    for task in node or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks_in(task.get(part))


def title_of(module: str, *files: Path, **arguments: str) -> str:
    """The title of the one task that calls a module with these arguments."""
    tasks = [task for file in files for task in tasks_in(yaml.safe_load(file.read_text()))]
    found = [task["name"] for task in tasks if module in task and arguments.items() <= task[module].items()]
    assert len(found) == 1, (module, arguments, found)
    return str(found[0])


def title_of_step(step: str) -> str:
    return title_of("agent_release", *(ROLES / "agent_release/tasks").glob("*.yml"), step=step)


# The steps of a release by the titles of their tasks, as a terminal shows them.
STEPS = {
    "begin": title_of("agent_release_plan", ROLES / "agent_release/tasks/begin.yml"),
    "pull": title_of_step("pull"),
    "start_worker": title_of_step("start_worker"),
    "register": title_of("livekit_worker_info", ROLES / "agent_release/tasks/start_worker.yml"),
    "prove": title_of("livekit_dispatch", ROLES / "agent_release/tasks/prove.yml"),
    "start_api": title_of_step("start_api"),
    "switch": title_of_step("switch"),
    "verify": title_of("livekit_dispatch", ROLES / "verification/tasks/prove.yml"),
    "drain": title_of_step("drain"),
}
# In the midst of a step: its module runs on the host. Pulling what is there already is the shortest, about 0.5 s.
INTO_THE_STEP_SECONDS = {"begin": 0.8, "pull": 0.3}
OF_THE_LAB = re.compile(r"lkad-(livekit|registry(-private)?|(staging|other)-\d+)")
RESULTS = {
    "runner_on_ok": "ok",
    "runner_item_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_item_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# A fault is chosen by the worker's environment; the rest is what the lab's inventory has.
LIGHT = {"SIDEKICK_LOAD": "0", "SIDEKICK_LOAD_THRESHOLD": "inf"}
# So that a run with a fault ends soon.
QUICK = {"livekit_agent_register_timeout_seconds": 15, "verification_preview_deadline_seconds": 8}

Inventory = dict[str, Any]


def with_fault(fault: str, **more: Any) -> dict[str, Any]:
    return {"livekit_agent_env": {**LIGHT, "SIDEKICK_FAULT": fault}, **more}


@dataclass(frozen=True)
class Result:
    """One result of a task, on the host that executed it. Skipped ones are no results."""

    host: str
    for_host: str
    task: str
    status: str
    changed: bool
    message: str
    action: str


@dataclass(frozen=True)
class Run:
    """One run of a playbook and all it said."""

    rc: int
    stdout: str
    results: list[Result]
    stats: Mapping[str, Mapping[str, int]]
    reports: Mapping[str, dict[str, Any]]
    transcript: str = field(repr=False)
    """Standard output, reports and every event, as text: where a secret must not be."""

    @property
    def said(self) -> str:
        """What the user reads, output and reports, in one line."""
        return " ".join([self.stdout, json.dumps(self.reports, ensure_ascii=False)]).replace("\n", " ")

    @property
    def changed(self) -> dict[str, int]:
        return {host: count for host, count in self.stats.get("changed", {}).items() if count}

    @property
    def report(self) -> dict[str, Any]:
        """The report of the playbook itself; beside it are the verdicts of earlier runs."""
        own = {name: report for name, report in self.reports.items() if name != "verdicts"}
        return own["deploy"] if "deploy" in own else next(iter(own.values()))

    def on(self, host: str) -> list[Result]:
        return [result for result in self.results if result.host == host]

    def hosts(self) -> set[str]:
        return {result.host for result in self.results}

    def row(self, host: str) -> dict[str, Any]:
        row: dict[str, Any] = self.report["hosts"][host]
        return row

    def reason(self, host: str) -> str:
        return " ".join(str(self.row(host)["reason"]).split())

    def seconds(self, what: str) -> float:
        return max((wait["seconds"] for wait in self.report["waits"] if wait["what"] == what), default=0.0)


@dataclass(frozen=True)
class Container:
    """A container on a host, as its Engine tells."""

    id: str
    started_at: str
    service: str
    project: str
    release: str
    image: str
    inspected: Mapping[str, Any] = field(repr=False)

    @property
    def identity(self) -> tuple[str, str]:
        """Changes when the container is made anew, and when it is only restarted."""
        return self.id, self.started_at

    @property
    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.inspected["HostConfig"]
        return settings

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.inspected["Config"]
        return config

    @property
    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for pair in self.config["Env"])


def text_of(command: Iterable[str], check: bool = True, **options: Any) -> str:
    done = subprocess.run(list(command), capture_output=True, text=True, check=False, **options)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Machine:
    """A host of the lab, over SSH, as root."""

    name: str
    address: str
    ssh_config: Path

    def ssh(self, script: str) -> list[str]:
        return ["ssh", "-F", str(self.ssh_config), self.name, f"sudo sh -c {shlex.quote(script)}"]

    def sh(self, script: str, check: bool = True) -> str:
        return text_of(self.ssh(script), check=check, timeout=120)

    def containers(self, every: bool = False) -> list[Container]:
        """The running containers, or all of them."""
        ids = self.sh(f"docker ps --no-trunc -q {'-a' if every else ''}").split()
        found = json.loads(self.sh(f"docker inspect {' '.join(ids)}")) if ids else []
        return sorted((container_of(data) for data in found), key=lambda c: (c.project, c.service))

    def identities(self) -> list[tuple[str, str]]:
        return [container.identity for container in self.containers()]

    def service(self, name: str) -> Container:
        """The running container of a compose service of the release that serves."""
        serving = (self.serving() or "").lower()
        found = [c for c in self.containers() if c.service == name and c.release == serving]
        assert len(found) == 1, f"{self.name} runs {len(found)} containers of {name} of release {serving}: {found}"
        return found[0]

    def serving(self) -> str | None:
        """The id of the release `current` points to."""
        return Path(self.sh(f"readlink /opt/{APP}/current || true")).name or None

    def releases(self) -> list[str]:
        return self.sh(f"ls -A /opt/{APP}/releases").split()

    def record(self, release: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.sh(f"cat /opt/{APP}/releases/{release}/release.json"))
        return record

    def history(self) -> list[dict[str, Any]]:
        """One entry for each run that had something to do, oldest first."""
        return [json.loads(line) for line in self.sh(f"cat /opt/{APP}/history.jsonl").splitlines()]

    def gates(self) -> dict[str, str]:
        """The state of each release's standby gate."""
        lines = self.sh(f"cd /opt/{APP}/releases && for r in *; do echo $r $(cat $r/gate/state); done").splitlines()
        return dict(map(str.split, lines))

    def networks(self) -> list[str]:
        return self.sh(f"docker network ls --format '{{{{.Name}}}}' --filter name={APP}-").split()

    def let_the_step_end(self) -> None:
        """What a host was told to do it does to the end, whether its controller is still there or not.

        The lock alone does not tell: a module that has only just come has not taken it yet.
        """
        a_module_runs = "pgrep --full 'BECOME-[S]UCCESS' >/dev/null"
        self.sh(
            f'timeout 60 sh -c "while {a_module_runs}; do sleep 0.1; done" && flock --wait 60 /opt/{APP}/.lock true'
        )

    def state(self) -> dict[str, Any]:
        """Everything a failed deployment must leave as it was; two states of one host are equal or differ visibly."""
        return {
            "serving": self.serving(),
            "releases": self.releases(),
            "containers": [(c.service, *c.identity) for c in self.containers(every=True)],
            "networks": self.networks(),
            "gates": self.sh(f"cd /opt/{APP}/releases && grep -r . */gate/state || true").splitlines(),
            "upstream": self.sh(f"cat /etc/nginx/livekit-agent-deploy/{APP}.upstream.conf"),
        }


@contextmanager
def login_as_root(machine: Machine, environment: Iterable[str]) -> Iterator[None]:
    """Let root log in as a provider's image does, and give every login this environment; then the host is as before."""
    keep = "cp -a /etc/environment /etc/environment.before 2>/dev/null || touch /etc/environment.before"
    key = (
        "install -d -m 0700 /root/.ssh && install -m 0600 /home/deploy/.ssh/authorized_keys /root/.ssh/authorized_keys"
    )
    lines = " ".join(shlex.quote(line) for line in environment)
    machine.sh(f"{keep}; {key}; printf '%s\\n' {lines} >>/etc/environment")
    try:
        yield
    finally:
        machine.sh("mv /etc/environment.before /etc/environment; rm -rf /root/.ssh")


def hook_file(lab: Lab, name: str) -> str:
    """Tasks of a user that note on the host that they ran, and which release serves then; the path of the file."""
    path = lab.scratch / f"hook-{name}.yml"
    script = f"echo {name} $(basename $(readlink /opt/{APP}/current)) >>{HOOKS_RAN}"
    path.write_text(json.dumps([{"name": "Note what serves", "ansible.builtin.shell": script}]))
    return str(path)


def hooks_ran(machine: Machine) -> list[tuple[str, ...]]:
    """The hooks that ran on a host since `forget_hooks`, in their order: name and release."""
    return [tuple(line.split()) for line in machine.sh(f"cat {HOOKS_RAN} || true").splitlines()]


def forget_hooks(machine: Machine) -> None:
    machine.sh(f"rm -f {HOOKS_RAN}")


def wait_for(machine: Machine, command: str, words: str, times: int = 1, seconds: float = 90) -> str:
    """The last line with these words that the command prints, once there are so many."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        lines = machine.sh(f"{command} 2>&1 | grep -F {shlex.quote(words)}", check=False).splitlines()
        if len(lines) >= times:
            return lines[-1]
        time.sleep(0.5)
    raise AssertionError(f"{machine.name}: {command} said {words!r} less than {times} times within {seconds} s")


def start_foreign(other: Machine, container: str, agent_name: str, options: str = "", command: str = "") -> str:
    """Start a worker of somebody else under a name, from the image of their own deployment; its worker id."""
    model = next(found for found in other.containers() if found.service == "agent")
    copied = "^(LIVEKIT_URL|LIVEKIT_API_KEY|LIVEKIT_API_SECRET|SIDEKICK_LOAD|SIDEKICK_LOAD_THRESHOLD)="
    environment = (
        f"docker inspect -f '{{{{range .Config.Env}}}}{{{{println .}}}}{{{{end}}}}' {model.id} | grep -E '{copied}'"
    )
    run = (
        f"docker run -d --name {container} --env-file /tmp/{container}.env -e LIVEKIT_AGENT_NAME={agent_name} {options}"
    )
    other.sh(f"umask 077; {environment} >/tmp/{container}.env; {run} {model.image} {command}; rm /tmp/{container}.env")
    return str(json.loads(wait_for(other, f"docker logs {container}", '"registered worker"', seconds=60))["id"])


def container_of(data: Mapping[str, Any]) -> Container:
    labels = data["Config"]["Labels"] or {}
    project = labels.get("com.docker.compose.project", "")
    return Container(
        id=data["Id"],
        started_at=data["State"]["StartedAt"],
        service=labels.get("com.docker.compose.service", ""),
        project=project,
        release=project.removeprefix(f"{APP}-"),
        image=data["Config"]["Image"],
        inspected=data,
    )


@dataclass(frozen=True)
class Terminal:
    """`ansible-playbook` in a process group of its own, as from a terminal: it can be interrupted, paused, killed."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def reports(self) -> Path:
        return self.log.with_suffix(".reports")

    def wait_for(self, words: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.said:
            assert time.monotonic() < deadline, self.said
            assert self.process.poll() is None, self.said
            time.sleep(0.05)

    @property
    def task(self) -> str:
        """What it is doing, as its report says."""
        [row] = json.loads((self.reports / "deploy.json").read_text())["hosts"].values()
        return str(row["reason"])

    def wait_in(self, step: str) -> None:
        """Until it is in the midst of a step."""
        self.wait_for(STEPS[step])
        time.sleep(INTO_THE_STEP_SECONDS.get(step, 0.4))
        assert STEPS[step] in self.task, (
            f"found {self.task}, expected {STEPS[step]}: the step was over before it was struck"
        )

    def send(self, number: signal.Signals) -> None:
        """A signal to all of its processes, as a terminal sends Ctrl-C."""
        os.killpg(self.process.pid, number)


def heed_sigint() -> None:
    """As in a terminal. What a shell runs in its background ignores the signal, and so would a child of it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Lab:
    """The lab of this checkout, and the playbooks run against it."""

    document: Mapping[str, Any]
    scratch: Path
    environment: Mapping[str, str]
    varied: set[str] = field(default_factory=set)
    """Hosts that may serve something else than the inventory says."""

    @property
    def inventory(self) -> Path:
        return ROOT / self.document["inventory"]

    @property
    def secret(self) -> str:
        return str(self.document["livekit"]["api_secret"])

    @property
    def livekit_host(self) -> str:
        return str(self.document["livekit"]["url"]).split("/")[2].split(":")[0]

    @cached_property
    def machines(self) -> list[Machine]:
        return [self.machine(host["name"], host["address"]) for host in self.document["hosts"]]

    @cached_property
    def other(self) -> Machine:
        """The host of somebody else."""
        return self.machine(**self.document["other_host"])

    @cached_property
    def livekit(self) -> Machine:
        """The host of the LiveKit server."""
        return self.machine(**self.document["livekit"]["host"])

    def machine(self, name: str, address: str) -> Machine:
        return Machine(name, address, ROOT / self.document["ssh_config"])

    def newcomer(self, name: str, address: str, **values: Any) -> Inventory:
        """A host not in the lab's inventory, for ``inventory_of``; the variables of that one name files beside it."""
        livekit = {f"livekit_{key}": self.document["livekit"][key] for key in ("url", "api_key", "api_secret")}
        ssh = f"-F {ROOT / self.document['ssh_config']}"
        own = {"ansible_host": address, "ansible_ssh_common_args": ssh, "livekit_agent_name": f"sidekick-{name}"}
        return {name: {**livekit, **own, **values}}

    def inventory_of(self, name: str, hosts: Inventory, **everywhere: Any) -> Path:
        """An inventory file that comes after the lab's and so adds to it or overrides it."""
        path = self.scratch / f"{name}.yml"
        document = {"agent_hosts": {"hosts": hosts}, "all": {"vars": everywhere}}
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=2))
        return path

    def play(
        self,
        playbook: str,
        *,
        extra_vars: Mapping[str, Any] | None = None,
        limit: str = "",
        inventory: Path | list[Path] | None = None,
        options: str = "",
        verbosity: int = 0,
        **environment: str,
    ) -> Run:
        """Run a playbook with this checkout's ansible.cfg; ``inventory`` None is the lab's, a file is one beside the
        lab's, ``options`` are more of the command's own."""
        work = self.scratch / f"run-{len(list(self.scratch.glob('run-*'))) + 1:03d}"
        own_reports = work / "reports"
        work.mkdir()
        inventories = (
            inventory if isinstance(inventory, list) else [self.inventory, *([inventory] if inventory else [])]
        )
        done = ansible_runner.run(
            private_data_dir=str(work),
            project_dir=str(ROOT),
            playbook=playbook,
            inventory=[str(path) for path in inventories] or None,
            extravars=dict(extra_vars or {}) or None,
            limit=limit or None,
            cmdline=options or None,
            verbosity=verbosity or None,
            quiet=True,
            # Without one ansible-runner takes the signals over for good: Ctrl-C would end one playbook, not the tests.
            cancel_callback=lambda: False,
            envvars={"LIVEKIT_DEPLOY_REPORTS": str(own_reports), **self.environment, **environment},
        )
        run = read_run(done, Path(environment.get("LIVEKIT_DEPLOY_REPORTS", own_reports)))
        self.check(run.transcript, run.said)
        touched = run.hosts() - {"localhost"}
        if playbook == "deploy.yml":
            as_it_says = run.rc == 0 and not (extra_vars or inventory or options)
            (self.varied.difference_update if as_it_says else self.varied.update)(touched)
        return run

    @contextmanager
    def terminal(self, name: str, limit: str, change: Mapping[str, Any]) -> Iterator[Terminal]:
        """`ansible-playbook deploy.yml` in a process group of its own; killed if it still runs at the end."""
        log = self.scratch / f"{name}.log"
        reports = {"LIVEKIT_DEPLOY_REPORTS": str(log.with_suffix(".reports"))}
        # Else a task is named when its first result is there, and whoever waits for the name would come too late.
        at_once = {"ANSIBLE_DISPLAY_SKIPPED_HOSTS": "True"}
        command = [
            "ansible-playbook",
            "-i",
            str(self.inventory),
            "deploy.yml",
            "--limit",
            limit,
            "-e",
            json.dumps(dict(change)),
        ]
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **self.environment, **reports, **at_once},
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=heed_sigint,
            )
        self.varied.add(limit)
        started = Terminal(process, log)
        try:
            yield started
        finally:
            if process.poll() is None:
                started.send(signal.SIGKILL)
            process.wait(timeout=30)

    def check(self, transcript: str, said: str) -> None:
        """What holds for every run. An event may hold a log line with a traceback, what is said may not."""
        assert self.secret not in transcript, "the API secret is in the output, in an event or in a report"
        assert "Traceback (most recent call last)" not in said, "a traceback is in the output or in a report"


def open_lab(scratch: Path) -> Lab:
    """Two provisioned hosts. What they serve is left from whatever ran before."""
    lab_command("up", "--hosts", "2")
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
    }
    made = Lab(json.loads((ROOT / "build/lab.json").read_text()), scratch, environment)
    provisioned = made.play("playbooks/provision.yml")
    assert provisioned.rc == 0, provisioned.stdout
    return made


def read_run(done: Any, reports: Path) -> Run:
    events = list(done.events)
    stdout = COLOUR.sub("", done.stdout.read())
    texts = {path.stem: path.read_text() for path in sorted(reports.glob("*.json"))} if reports.is_dir() else {}
    return Run(
        rc=done.rc,
        stdout=stdout,
        results=[result for event in events if (result := result_of(event))],
        stats=done.stats or {},
        reports={name: json.loads(text) for name, text in texts.items()},
        transcript="\n".join([stdout, *texts.values(), *(json.dumps(event) for event in events)]),
    )


def result_of(event: Mapping[str, Any]) -> Result | None:
    """An event that is a result; of a loop each item is one, and so is the loop."""
    status = RESULTS.get(event["event"])
    if not status:
        return None
    data = event["event_data"]
    answer = data.get("res") or {}
    executed_by = (answer.get("_ansible_delegated_vars") or {}).get("ansible_delegated_host") or data["host"]
    changed = bool(answer.get("changed"))
    return Result(
        executed_by, data["host"], data["task"], status, changed, str(answer.get("msg", "")), data["task_action"]
    )


def lab_command(*arguments: str) -> str:
    """Run lab/lab.py; standard output and error together."""
    command = [sys.executable, str(ROOT / "lab/lab.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def docker(*arguments: str) -> str:
    return text_of([*as_root(), "docker", *arguments])


def as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo"]


def lab_containers() -> dict[str, tuple[str, str]]:
    """Id and start time of the containers that `lab.py up` makes, by name; not of hosts added beside them."""
    listed = docker("ps", "-a", "--filter", f"label=livekit-agent-deploy.lab={ROOT}", "--format", "{{.Names}}").split()
    names = [name for name in listed if OF_THE_LAB.fullmatch(name)]
    found = json.loads(docker("inspect", *names)) if names else []
    return {data["Name"].lstrip("/"): (data["Id"], data["State"]["StartedAt"]) for data in found}


def results_by_host(run: Run) -> Counter[str]:
    return Counter(result.host for result in run.results)
