"""How the confusion matrix is made on the lab's hosts: real deployments, then a fault or somebody else's workers."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from livekit import api

from tests.e2e.harness import ROOT, Lab, Machine, wait_for
from tests.e2e.matrix import PREFIX, Situation, Stranger

SCRIPT = Path(__file__).with_name("foreign_worker.py")
ON_THE_HOST = f"/tmp/{PREFIX}-foreign-worker.py"
WITHIN_SECONDS = 90
# Dozens of workers share the machine's few cores; modules that wait for them would take the time they need to start.
FORKS = "3"
# As the lab's own workers, without what an idle worker costs: the process that waits for a job (322 MiB; a real job
# starts 3 s later), and the watch over its event loop, which wakes up a hundred times a second.
LIGHT = {
    "SIDEKICK_LOAD": "0",
    "SIDEKICK_LOAD_THRESHOLD": "inf",
    "SIDEKICK_IDLE_PROCESSES": "0",
    "SIDEKICK_DRAIN_TIMEOUT_SECONDS": "600",
    "LIVEKIT_AGENTS_LOOP_BLOCK_WARN_MS": "0",
}
ANSWERED, PASSED_ON = (
    json.dumps({"livekit_deploy_probe": 1, "nonce": "matrix", "mode": mode}) for mode in ("answer", "pass")
)
NODE_PORTS = {"a": 7980, "b": 7990}
NODE_UNITS = "redis-server livekit-server@a livekit-server@b"
ELSEWHERE = "matrix-elsewhere"
"""A name that no host of the inventory has."""
SET_ENV = 'sed -i "/^$2=/d" $1; printf "%s=\'%s\'\\n" $2 "$3" >>$1'
# What is done on a host, in the directory of the release that serves. `set_env FILE NAME VALUE` replaces a variable.
FAULTS = {
    "name in code": "set_env agent-worker.env SIDEKICK_FAULT hardcoded_name; docker compose up -d agent-worker",
    "wrong key": (
        f"set_env agent-worker.env LIVEKIT_API_SECRET {'not-the-servers-' * 3}; docker compose up -d agent-worker"
    ),
    "wrong URL": "set_env agent-worker.env LIVEKIT_URL ws://127.0.0.1:7999; docker compose up -d agent-worker",
    "API with the other name": (
        f"set_env fastapi.env LIVEKIT_AGENT_NAME {ELSEWHERE}; set_env fastapi.env AGENT_NAME {ELSEWHERE}; "
        "docker compose up -d fastapi"
    ),
    "edited but only restarted": (
        "for f in agent-worker fastapi; do "
        "set_env $f.env LIVEKIT_AGENT_NAME matrix-renamed; set_env $f.env AGENT_NAME matrix-renamed; done; "
        "docker compose restart"
    ),
    "hook's launcher": (
        "set_env agent-worker.env SIDEKICK_HOOK off; "
        'echo \'{"services": {"agent-worker": {"command": '
        '["python3", "-m", "livekit_deploy_hook", "agent.py", "start"]}}}\' >compose.override.yml; '
        "docker compose up -d agent-worker"
    ),
}


def together(work: Iterable[Callable[[], Any]]) -> list[Any]:
    jobs = list(work)
    with ThreadPoolExecutor(max(1, len(jobs))) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


@dataclass(frozen=True)
class Played:
    """A playbook that was run, and its report."""

    rc: int
    said: str
    report: dict[str, Any]
    seconds: float

    def row(self, host: str) -> dict[str, Any]:
        row: dict[str, Any] = self.report["hosts"][host]
        return row


@dataclass(frozen=True)
class Alias:
    """A host of the matrix's inventory: an application of its own on one of the lab's machines."""

    name: str
    situation: Situation
    number: int
    machine: Machine

    @property
    def containers(self) -> list[str]:
        """Those of somebody else's workers under its name."""
        return [f"{self.name}-{n}" for n in range(self.situation.strangers)]

    @property
    def proxy_port(self) -> int:
        return 20000 + self.number

    @property
    def variables(self) -> dict[str, Any]:
        own = dict(self.situation.variables)
        return {
            "ansible_host": self.machine.address,
            "agent_release_app": self.name,
            "agent_api_ports": [19000 + 2 * self.number, 19001 + 2 * self.number],
            "api_proxy_listen_port": self.proxy_port,
            "verification_preview": {"url": self.url("/v1/preview")},
            # Two dozen agents that start at one moment on this machine's few cores get no media connection in time.
            "livekit_agent_rehearsal": False,
            "livekit_agent_name": self.situation.agent_name,
            **({"livekit_agent_pool": self.situation.agent_name} if self.situation.members > 1 else {}),
            **own,
            "livekit_agent_env": {**LIGHT, **own.get("livekit_agent_env", {})},
        }

    def url(self, path: str) -> str:
        return f"http://{self.machine.address}:{self.proxy_port}{path}"

    def ask(self) -> None:
        """Of a worker with the hook nothing starts: it answers a dispatch that is marked as a probe itself."""
        if self.situation.cause in ("nothing_wrong", "no_cause_found"):
            answered(self.url("/v1/preview"), {"metadata": ANSWERED})
        else:
            answered(self.url("/healthz"))

    def worker_log(self, words: str) -> str:
        """Shell words that print the lines of the serving worker's log that have these words."""
        return (
            f"cd /opt/{self.name}/current && docker compose logs --no-log-prefix agent-worker 2>&1 "
            f"| grep -F {shlex.quote(words)}"
        )


@dataclass
class Planting:
    """The situations on the lab's machines.
    ``strangers`` are all worker ids that somebody else's workers ever had, by situation."""

    lab: Lab
    situations: tuple[Situation, ...]
    strangers: dict[str, set[str]] = field(default_factory=dict)

    @cached_property
    def aliases(self) -> list[Alias]:
        wanted = [(host, situation) for situation in self.situations for host in situation.hosts]
        machines = self.lab.machines
        return [Alias(host, situation, n, machines[n % len(machines)]) for n, (host, situation) in enumerate(wanted)]

    def hosts_of(self, *keys: str) -> str:
        """For ``--limit``."""
        return ",".join(alias.name for alias in self.aliases if alias.situation.key in keys)

    def write_inventories(self) -> None:
        """One for each number of LiveKit nodes, as a run speaks to one server; beside the lab's own, whose variables
        look for the lab's files relative to theirs."""
        common = json.loads(self.lab.inventory.read_text())["all"]["vars"]
        common |= {"livekit_agent_register_timeout_seconds": 180, "agent_api_start_timeout_seconds": 180}
        common |= {"verification_preview_deadline_seconds": 60, "agent_release_drain_wait_seconds": 0}
        for nodes in {alias.situation.nodes for alias in self.aliases}:
            hosts = {
                alias.name: {**alias.variables, **self.node_variables(nodes)}
                for alias in self.aliases
                if alias.situation.nodes == nodes
            }
            write_private(self.inventory(nodes), {"all": {"vars": common}, "agent_hosts": {"hosts": hosts}})
        own = {"ansible_host": self.lab.livekit_host, "livekit_url": self.node_url("a")}
        servers = {
            f"{PREFIX}-node-{node}": {**own, "livekit_server_log_unit": f"livekit-server@{node}"} for node in NODE_PORTS
        }
        # Both are behind the one address that the hosts know.
        write_private(self.nodes_inventory, {"livekit_servers": {"hosts": servers}})

    def inventory(self, nodes: int) -> Path:
        return self.lab.inventory.parents[1] / f"inventory-matrix/nodes-{nodes}.yml"

    @property
    def nodes_inventory(self) -> Path:
        return self.inventory(1).with_name("servers.yml")

    def node_variables(self, nodes: int) -> dict[str, Any]:
        return {"livekit_url": self.node_url("a"), "livekit_server_nodes": nodes} if nodes > 1 else {}

    def node_url(self, node: str) -> str:
        return f"ws://{self.lab.livekit_host}:{NODE_PORTS[node]}" if node else str(self.lab.document["livekit"]["url"])

    def make_room(self) -> None:
        """What provisioning does for an application, on machines that are provisioned already."""
        together(lambda m=machine: m.sh(self.directories_on(m)) for machine in self.lab.machines)  # type: ignore[misc]
        self.write_inventories()
        made = [self.play("tests/e2e/matrix.yml", nodes) for nodes in (1, 2)]
        assert [run.rc for run in made] == [0, 0], made

    def directories_on(self, machine: Machine) -> str:
        names = [f"/opt/{alias.name}/releases" for alias in self.aliases if alias.machine is machine]
        return f"install -d -m 0750 -g livekit-agent {' '.join(names)}"

    def ask_the_web(self) -> None:
        """A request to each host's proxy, and through the API a dispatch for those of which nothing is wrong: where no
        request comes, or nothing is dispatched, diagnosis does not know whether it would be right."""
        together(lambda a=alias: a.ask() for alias in self.aliases)  # type: ignore[misc]

    def play(self, playbook: str, nodes: int, *more: Path, limit: str = "all", **extra_vars: Any) -> Played:
        """Run a playbook as a user does; in a process of its own, so that two can run at the same time."""
        reports = self.lab.scratch / f"{PREFIX}-{time.time_ns()}"
        inventories = [argument for path in (self.inventory(nodes), *more) for argument in ("-i", str(path))]
        command = ["ansible-playbook", *inventories, playbook, "--limit", limit, "-e", json.dumps(extra_vars)]
        environment = {
            **os.environ,
            **self.lab.environment,
            "LIVEKIT_DEPLOY_REPORTS": str(reports),
            "ANSIBLE_FORKS": FORKS,
        }
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        seconds = time.monotonic() - started
        found = reports / f"{Path(playbook).stem}.json"
        report = json.loads(found.read_text()) if found.exists() else {}
        said = done.stdout + done.stderr
        self.lab.check(said + json.dumps(report), said)
        return Played(done.returncode, said, report, seconds)

    # --- somebody else's workers ------------------------------------------------------------------------------------

    def start_strangers(self, nodes: int = 1) -> None:
        """All of them at once, on somebody else's host or beside ours, and wait until the server has them."""
        together(
            lambda m=machine, of=aliases: self.start_on(m, of)  # type: ignore[misc]
            for machine, aliases in self.homes(nodes)
        )

    def homes(self, nodes: int) -> list[tuple[Machine, list[Alias]]]:
        """The machines of somebody else's workers, each with those whose strangers it has."""
        homes: dict[str, tuple[Machine, list[Alias]]] = {}
        for alias in self.aliases:
            if alias.situation.stranger and alias.situation.nodes == nodes:
                machine = alias.machine if alias.situation.stranger.same_host else self.lab.other
                homes.setdefault(machine.name, (machine, []))[1].append(alias)
        return list(homes.values())

    def start_on(self, machine: Machine, aliases: list[Alias]) -> None:
        model = "docker ps -aq --filter label=com.docker.compose.project=somebody-else"
        if machine is not self.lab.other:
            model = f"docker compose -f /opt/{aliases[0].name}/current/compose.yml ps -q agent-worker"
        runs = [
            f'{self.run_command(name, alias.situation)} >/dev/null & pids="$pids $!"'
            for alias in aliases
            for name in alias.containers
        ]
        env = f"/tmp/{aliases[0].name}.env"
        machine.sh(
            f"set -e; umask 077; cat >{ON_THE_HOST} <<'EOF'\n{SCRIPT.read_text()}\nEOF\nchmod 0644 {ON_THE_HOST}\n"
            f"env={env}\nmodel=$({model}); image=$(docker inspect -f '{{{{.Config.Image}}}}' $model)\n"
            "docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' $model "
            "| grep -E '^LIVEKIT_(URL|API)' >$env\n"
            + "\n".join(runs)
            + "\nfor pid in $pids; do wait $pid; done; rm $env"
        )
        for name in (name for alias in aliases for name in alias.containers):
            wait_for(machine, f"docker logs {name}", "registered worker")

    def read_strangers(self) -> None:
        """Before the end: which worker ids somebody else's workers had."""
        for machine, aliases in [*self.homes(1), *self.homes(2)]:
            for alias in aliases:
                lines = "\n".join(
                    machine.sh(f"docker logs {name} 2>&1 | grep '\"registered worker\"' || true")
                    for name in alias.containers
                )
                self.strangers[alias.situation.key] = {json.loads(line)["id"] for line in lines.splitlines()}

    def run_command(self, name: str, situation: Situation) -> str:
        stranger = stranger_of(situation)
        env = {**LIGHT, "LIVEKIT_AGENT_NAME": situation.agent_name, "BEHAVIOUR": stranger.behaviour}
        env |= {"LIVEKIT_AGENT_DEPLOYMENT": stranger.deployment} if stranger.deployment else {}
        env |= {"LIVEKIT_URL": self.node_url(stranger.node)} if stranger.node else {}
        options = " ".join(f"-e {shlex.quote(f'{key}={value}')}" for key, value in env.items())
        command = "" if stranger.hook else "python3 /foreign_worker.py start"
        start = f"docker run -d --name {name} --label {PREFIX} --env-file $env"
        return f"{start} {options} -v {ON_THE_HOST}:/foreign_worker.py:ro $image {command}"

    # --- two nodes ----------------------------------------------------------------------------------------------------

    def start_nodes(self) -> None:
        """Two LiveKit servers behind an empty Redis, with a SIP dispatch rule that names somebody else's agent."""
        self.lab.livekit.sh(f"systemctl start redis-server && redis-cli flushall && systemctl start {NODE_UNITS}")
        for node in NODE_PORTS:
            answered(self.node_url(node).replace("ws", "http", 1))
        asyncio.run(self.make_sip_rule())

    async def make_sip_rule(self) -> None:
        rule = api.SIPDispatchRule(dispatch_rule_individual=api.SIPDispatchRuleIndividual(room_prefix="call-"))
        agents = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=ELSEWHERE)])
        async with self.client("a") as client:
            await client.sip.create_dispatch_rule(
                api.CreateSIPDispatchRuleRequest(rule=rule, name="calls", room_config=agents)
            )

    def client(self, node: str = "") -> api.LiveKitAPI:
        livekit = self.lab.document["livekit"]
        return api.LiveKitAPI(self.node_url(node), livekit["api_key"], livekit["api_secret"])

    # --- jobs, faults -------------------------------------------------------------------------------------------------

    def occupy_strangers(self) -> None:
        """Give a job that does not end to each stranger that is to drain, past our own worker, and its SIGTERM."""
        busy = [alias for alias in self.aliases if alias.situation.stranger and alias.situation.stranger.busy]
        asyncio.run(self.dispatch([alias.situation.agent_name for alias in busy], PASSED_ON))
        for alias in busy:
            wait_for(self.lab.other, f"docker logs {alias.name}-0", "in the room")
            self.lab.other.sh(f"docker kill -s TERM {alias.name}-0")
            wait_for(self.lab.other, f"docker logs {alias.name}-0", "draining worker")

    def occupy_ours(self) -> None:
        """Give a job that does not end to each release that is to be old soon."""
        old = [alias for alias in self.aliases if alias.situation.fault == "second release"]
        asyncio.run(self.dispatch([alias.situation.agent_name for alias in old]))
        for alias in old:
            wait_for(alias.machine, alias.worker_log("tool call"), "tool call")

    async def dispatch(self, names: list[str], metadata: str = "") -> None:
        async with self.client() as client:
            for name in names:
                agent = api.RoomAgentDispatch(agent_name=name, metadata=metadata)
                await client.room.create_room(
                    api.CreateRoomRequest(name=f"{name}-{time.time_ns()}", empty_timeout=1800, agents=[agent])
                )

    def break_ours(self) -> None:
        """Do to our deployments what the situations say, all at once."""
        together(
            lambda a=alias: self.break_one(a)  # type: ignore[misc]
            for alias in self.aliases
            if alias.situation.fault in FAULTS
        )

    def break_one(self, alias: Alias) -> None:
        alias.machine.sh(
            f"set -e; set_env() {{ {SET_ENV}; }}; cd /opt/{alias.name}/current; {FAULTS[alias.situation.fault]}"
        )
        if alias.situation.fault == "API with the other name":
            answered(alias.url("/v1/preview"), {})

    # --- the end ------------------------------------------------------------------------------------------------------

    def clean(self) -> None:
        """Leave the hosts as they were: other tests compare their states."""
        together(
            lambda m=machine: clean_host(m)  # type: ignore[misc]
            for machine in [*self.lab.machines, self.lab.other]
        )
        self.lab.livekit.sh(f"! systemctl is-active -q redis-server || redis-cli flushall; systemctl stop {NODE_UNITS}")


def stranger_of(situation: Situation) -> Stranger:
    assert situation.stranger
    return situation.stranger


def write_private(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=2))


def answered(url: str, body: dict[str, str] | None = None) -> None:
    """Wait until a request gets HTTP 200; one with a body is a POST."""
    parts = urlsplit(url)
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        line = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            send = {} if body is None else {"body": json.dumps(body), "headers": {"Content-Type": "application/json"}}
            line.request("GET" if body is None else "POST", parts.path or "/", **send)  # type: ignore[arg-type]
            if line.getresponse().status == HTTPStatus.OK:
                return
        except (OSError, HTTPException):
            pass  # it starts
        finally:
            line.close()
        assert time.monotonic() < deadline, url
        time.sleep(0.5)


def clean_host(machine: Machine) -> None:
    machine.sh(
        f"ours=$(docker ps -aq --filter label={PREFIX}); "
        f"for app in /opt/{PREFIX}-*; do [ -d $app ] || continue; for r in $app/releases/*/; do "
        'ours="$ours $(docker compose --project-directory $r ps -aq)"; done; done; '
        '[ -z "$(echo $ours)" ] || docker rm -f -v $ours >/dev/null; '
        f'nets=$(docker network ls -q --filter name=^{PREFIX}-); [ -z "$nets" ] || docker network rm $nets >/dev/null; '
        f"rm -rf /opt/{PREFIX}-* /etc/nginx/conf.d/livekit-agent-deploy-{PREFIX}-*.conf "
        f"/etc/nginx/livekit-agent-deploy/{PREFIX}-*.upstream.conf {ON_THE_HOST}; "
        "! systemctl is-active -q nginx || systemctl reload nginx"
    )
