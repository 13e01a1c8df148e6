"""A request that outlasts the run that replaces its API: it is answered, and the old release goes with the next run."""

from __future__ import annotations

import shlex
import subprocess
import time
from dataclasses import dataclass

import pytest

from tests.e2e.harness import Lab, Machine, Run

# Longer than a deployment and its waits for what the old release still has.
REQUEST_SECONDS = 90
# Its headers come at once and its body late: the API has it in hand meanwhile.
ASK = """
import socket, time
connection = socket.create_connection(("127.0.0.1", {port}))
connection.sendall(b"POST /v1/preview HTTP/1.1\\r\\nHost: slow\\r\\n\
Content-Type: application/json\\r\\nContent-Length: 2\\r\\n\\r\\n")
time.sleep({seconds})
connection.sendall(b"{{}}")
print(connection.recv(4096).decode())
"""


@dataclass(frozen=True)
class Story:
    old: str
    run: Run
    running: list[str]
    """Services of the old release after the run."""
    answer: str
    next_run: Run
    left: list[str]
    """Services of any release but the serving one after the next run."""


def running_of(machine: Machine, release: str) -> list[str]:
    return [container.service for container in machine.containers() if container.release == release.lower()]


@pytest.fixture(scope="module")
def story(deployed: Lab, second: Machine) -> Story:
    old = second.serving() or ""
    script = ASK.format(port=second.record(old)["api_port"], seconds=REQUEST_SECONDS)
    deployed.varied.add(second.name)
    with subprocess.Popen(
        second.ssh(f"python3 -c {shlex.quote(script)}"), stdout=subprocess.PIPE, text=True
    ) as request:
        began = time.monotonic()
        change = {"livekit_agent_memory": "1700m"}
        run = deployed.play("deploy.yml", extra_vars=change, limit=second.name)
        assert time.monotonic() - began < REQUEST_SECONDS, "the run took longer than the request, so nothing was proved"
        running = running_of(second, old)
        answer, _ = request.communicate(timeout=2 * REQUEST_SECONDS)
    next_run = deployed.play("deploy.yml", extra_vars=change, limit=second.name)
    left = [c.service for c in second.containers(every=True) if c.release != (second.serving() or "").lower()]
    return Story(old, run, running, answer, next_run, left)


def test_run_is_not_held_up_and_says_that_the_old_release_drains(story: Story) -> None:
    assert story.run.rc == 0, story.run.stdout
    assert f"{story.old} still has calls, or requests to its API, and drains" in "\n".join(story.run.report["notes"])


def test_only_the_api_is_left_for_it(story: Story) -> None:
    assert story.running == ["fastapi"]


def test_request_is_answered(story: Story) -> None:
    assert story.answer.startswith("HTTP/1.1 200"), story.answer


def test_next_run_clears_it_away(story: Story) -> None:
    assert (story.next_run.rc, story.left) == (0, [])
