#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: which workers a LiveKit server has registered, from its log."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: livekit_server_log_info
short_description: Read from a LiveKit server's log which workers are registered
description:
  - No API of a LiveKit server lists its workers; its log at level info has each registration and each end of one.
  - Reads the log of a systemd unit's current invocation, of a Docker container, or a file, in JSON or in the server's
    console format. Reads it line by line, so its size costs time but no memory. Changes nothing; the same in check
    mode.
  - A log that lacks the server's start only tells of some workers; RV(complete) is false then. So is it while a
    server's C(logging.sample) drops lines, which nobody can see from the log, so leave that off.
options:
  unit:
    description: systemd unit of the server, as its journal knows it.
    type: str
  container:
    description: Docker container of the server.
    type: str
  path:
    description: File with the server's log. Rotated files are not read.
    type: path
  names:
    description: Agent names of interest. With O(settle_seconds) the log is watched for workers under them.
    type: list
    elements: str
    default: []
  own_ids:
    description: Worker ids of our own; it does not matter when they leave.
    type: list
    elements: str
    default: []
  settle_seconds:
    description:
      - How long to wait at most while another worker has left one of O(names) less than 30 s ago, and so may be about
        to come back.
      - With 0 nothing is waited for.
    type: float
    default: 0.0
extends_documentation_fragment: [livekit_deploy.reads]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Read which workers the LiveKit server has
  livekit_server_log_info:
    unit: livekit-server.service
  register: __server_log
"""

RETURN = r"""
complete:
  description: The log reaches back to the server's start, so it has every registered worker.
  returned: success
  type: bool
reason:
  description: Why RV(complete) is false; empty when it is true.
  returned: success
  type: str
since:
  description: The server's start; where the log lacks it, the first line about a worker. None without either.
  returned: success
  type: str
workers:
  description: The workers registered at the end of the log, and those that left within two minutes before it was read.
  returned: success
  type: list
  elements: dict
  contains:
    worker_id: {description: Id of the worker., type: str}
    agent_name: {description: Name it registered under., type: str}
    job_type: {description: "C(JT_ROOM), C(JT_PUBLISHER) or C(JT_PARTICIPANT).", type: str}
    deployment: {description: LiveKit deployment label; known only of one that left., type: str}
    registered: {description: When it registered; none where that line is not in the log., type: str}
    closed: {description: When it left; none while it is registered., type: str}
time:
  description: The host's clock in seconds since the epoch, when the log was read.
  returned: success
  type: float
lines:
  description: Lines read.
  returned: success
  type: int
waits:
  description: What was waited for, and the seconds.
  returned: success
  type: list
  elements: dict
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ansible.module_utils.livekit_deploy.common import commands
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.common.files import open_regular
from ansible.module_utils.livekit_deploy.gather import server_log
from ansible.module_utils.livekit_deploy.gather.types import ServerReading
from ansible.module_utils.livekit_deploy.machine import command

Params = dict[str, Any]
ARGUMENT_SPEC: Params = {
    "unit": {"type": "str"},
    "container": {"type": "str"},
    "path": {"type": "path"},
    "names": {"type": "list", "elements": "str", "default": []},
    "own_ids": {"type": "list", "elements": "str", "default": []},
    "settle_seconds": {"type": "float", "default": 0.0},
}
SOURCES = ("unit", "container", "path")
POLL_SECONDS = 2.0
# A log of the newest 256 MiB is read in less.
READ_SECONDS, FILE_BYTES = 120.0, 256 * command.MIB


class LogError(Exception):
    """The log cannot be read; the text says found, expected and what to do."""


def output_of(argv: list[str]) -> str:
    """What a short command prints; a program that is not there is named."""
    status, out, err = command.Runner()(argv)
    if status == command.NOT_THERE:
        raise LogError(f"found: {err}, expected it on the host of the LiveKit server")
    return out


def lines_of(argv: list[str]) -> Iterator[str]:
    """A command's output as it comes: a log may be larger than the memory."""
    lines = command.Runner(READ_SECONDS).lines(argv)
    yield from lines
    if lines.status:
        raise LogError(
            f"found: `{argv[0]}` ended with status {lines.status}{f', because {lines.cut}' if lines.cut else ''}, "
            f"expected the log. Look at `{commands.shell(*argv)}` on the host"
        )


def lines_of_unit(unit: str) -> Iterator[str]:
    """The journal of the unit's current invocation, with what the journal says about lines it dropped."""
    shown = output_of(["systemctl", "show", "--property=LoadState,ActiveState,InvocationID", "--", unit]).splitlines()
    state = dict(line.partition("=")[::2] for line in shown)
    invocation = state.get("InvocationID")
    if state.get("ActiveState") != "active" or not invocation:
        found = (
            "no such unit"
            if state.get("LoadState") == "not-found"
            else f"it is {state.get('ActiveState') or 'unknown'}"
        )
        raise LogError(f"found: unit {unit}: {found}, expected it active. Correct livekit_server_log_unit")
    matches = [f"_SYSTEMD_INVOCATION_ID={invocation}", "+", f"OBJECT_SYSTEMD_INVOCATION_ID={invocation}"]
    return lines_of(["journalctl", "--quiet", "--no-pager", "--all", "--output=cat", *matches])


def lines_of_container(container: str) -> Iterator[str]:
    running = output_of(["docker", "container", "inspect", "--format", "{{.State.Running}}", "--", container]).strip()
    if running != "true":
        found = "it does not run" if running else "no such container"
        raise LogError(
            f"found: container {container}: {found}, expected it running. Correct livekit_server_log_container"
        )
    return lines_of(["docker", "logs", "--", container])


def blocks_of(file: IO[bytes], deadline: float) -> Iterator[bytes]:
    """What a file has, a piece at a time: a line of it may be larger than the memory."""
    while block := file.read(command.BLOCK):
        command.left(deadline)
        yield block


def lines_of_file(path: str) -> Iterator[str]:
    """The newest 256 MiB of an ordinary file."""
    try:
        with open_regular(Path(path)) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - FILE_BYTES))
            lines = command.split(blocks_of(file, time.monotonic() + READ_SECONDS))
            if size > FILE_BYTES:  # its first line is half a one
                next(lines, None)
            yield from lines
    except TimeoutError:
        raise LogError(
            f"found: {path} was not read within {READ_SECONDS:.0f} s, expected the LiveKit server's log. "
            "Look at the host's disk"
        ) from None
    except OSError as error:
        raise LogError(
            f"found: {path}: {error.strerror}, expected the LiveKit server's log. Correct livekit_server_log_path"
        ) from None


def read_log(params: Params) -> ServerReading:
    now = time.time()
    if params["unit"]:
        return server_log.read_registrations(lines_of_unit(params["unit"]), now)
    if params["container"]:
        return server_log.read_registrations(lines_of_container(params["container"]), now)
    return server_log.read_registrations(lines_of_file(params["path"]), now)


def settled(params: Params) -> dict[str, object]:
    """Read again while somebody may be about to come back, and for no longer than was asked."""
    started = time.monotonic()
    found = read_log(params)
    reading = waited = time.monotonic() - started
    while server_log.unsettled(found, params["names"], params["own_ids"]) and waited < params["settle_seconds"]:
        time.sleep(max(POLL_SECONDS, 2 * reading))
        found = read_log(params)
        waited = time.monotonic() - started
    waits = [{"what": "a worker that may come back", "seconds": round(waited, 1)}] if waited > reading else []
    return {**found, "waits": waits}


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, mutually_exclusive=[SOURCES], required_one_of=[SOURCES], supports_check_mode=True)
    try:
        module.exit_json(changed=False, **settled(module.params))
    except LogError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
