"""A worker of somebody else under our name: verify says so, and names it; whether it has the probe hook or not."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.harness import Lab, Machine, Run

WITHOUT_THE_HOOK = """
from livekit.agents import AgentServer, JobContext, cli

server = AgentServer(load_fnc=lambda *_: 0.0, load_threshold=float("inf"))


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()


if __name__ == "__main__":
    cli.run_app(server)
"""
COPIED = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "SIDEKICK_LOAD", "SIDEKICK_LOAD_THRESHOLD")


@dataclass(frozen=True)
class Incident:
    """The worker ids of somebody else by the host whose name they have, and what verify said while they were there and after."""

    foreign: dict[str, str]
    verified: Run
    afterwards: Run


def start_foreign(other: Machine, container: str, agent_name: str, command: str = "") -> str:
    """Start a worker on somebody else's host, from the image that runs there; its worker id."""
    model = other.containers()[0]
    lines = [f"{key}={model.environment[key]}" for key in COPIED] + [f"LIVEKIT_AGENT_NAME={agent_name}"]
    other.sh(f"umask 077; printf '%s\\n' {' '.join(repr(line) for line in lines)} >/tmp/{container}.env")
    options = f"-d --name {container} --env-file /tmp/{container}.env -v /tmp/without_hook.py:/without_hook.py:ro"
    other.sh(f"docker run {options} {model.image} {command} && rm /tmp/{container}.env")
    return registered_id(other, container)


def registered_id(other: Machine, container: str) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for line in other.sh(f"docker logs {container} 2>&1").splitlines():
            event: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
            if event.get("message") == "registered worker":
                return str(event["id"])
        time.sleep(0.5)
    raise AssertionError(f"{container} did not register within 60 s")


@pytest.fixture(scope="module")
def incident(deployed: Lab) -> Incident:
    lab = deployed
    other = lab.machine(lab.document["other_host"]["name"], lab.document["other_host"]["address"])
    other.sh(f"cat >/tmp/without_hook.py <<'EOF'\n{WITHOUT_THE_HOOK}\nEOF")
    names = {machine.name: machine.record(str(machine.serving()))["agent_name"] for machine in lab.machines}
    try:
        foreign = {
            "staging-1": start_foreign(other, "foreign-hooked", names["staging-1"]),
            "staging-2": start_foreign(other, "foreign-plain", names["staging-2"], "python3 /without_hook.py start"),
        }
        verified = lab.play("playbooks/verify.yml")
    finally:
        other.sh("docker rm -f foreign-hooked foreign-plain; rm -f /tmp/without_hook.py")
    return Incident(foreign, verified, lab.play("playbooks/verify.yml"))


BOTH = pytest.mark.parametrize("host", ["staging-1", "staging-2"], ids=["with the hook", "without the hook"])


@BOTH
def test_worker_of_somebody_else_under_our_name_is_foreign(incident: Incident, host: str) -> None:
    assert incident.verified.row(host)["verdict"] == "foreign"


@BOTH
def test_foreign_worker_is_named_by_its_id(incident: Incident, host: str) -> None:
    assert incident.verified.row(host)["routing"]["foreign"] == [incident.foreign[host]]


@BOTH
def test_remedy_names_the_worker_to_stop(incident: Incident, host: str) -> None:
    routing = next(check for check in incident.verified.row(host)["checks"] if check["name"] == "routing")
    assert incident.foreign[host] in routing["remedy"]


def test_run_fails_while_a_name_is_not_ours_alone(incident: Incident) -> None:
    assert incident.verified.rc != 0


@BOTH
def test_name_is_exclusive_again_when_the_other_worker_is_gone(incident: Incident, host: str) -> None:
    row = incident.afterwards.row(host)
    assert (row["verdict"], row["routing"]["foreign"]) == ("exclusive", [])


@BOTH
def test_exclusive_is_never_said_before_the_search_window_has_passed(incident: Incident, host: str) -> None:
    assert incident.afterwards.row(host)["routing"]["seconds"] >= 10.0


@BOTH
def test_verdict_says_what_it_cannot_see(incident: Incident, host: str) -> None:
    assert "draining" in incident.afterwards.row(host)["routing"]["not_seen"]
