#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Read the livekit-agents workers of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: livekit_worker_info
short_description: Read the livekit-agents workers of a host
description:
  - Joins what the container was created with, what the worker logged and what it answers on its own port.
  - A worker is a container of the compose service C(agent-worker), or any that carries C(LIVEKIT_AGENT_NAME).
  - With O(everywhere) also each other container that is one, and plain processes.
  - With O(registered_as) it waits until the one worker of O(project) is registered under that name.
options:
  everywhere:
    description:
      - Find every worker of the host. Needs to be root (C(become)); what could not be read is in RV(unread).
      - "Also a container that carries another LiveKit variable, or where livekit-agents is seen among the processes, or
        whose last 2000 log lines show a registration."
      - "Also plain processes (systemd units, hand-started, in a container of another engine): those with an agent name,
        or with a LiveKit URL and a command that runs C(start) or C(dev), or with job processes of livekit-agents. Of a
        tree of processes only the worker itself."
      - A process's log is the regular file it writes to, else the journal of its unit. Otherwise its worker id is not
        known.
      - A process is asked for its load only on a port that is its own, in the host's network.
    type: bool
    default: false
  since:
    description: Report all job requests from this time on (seconds since the epoch), the newest 500, instead of only
      those asked for.
    type: float
  project:
    description: Read only the workers of this compose project.
    type: str
  known:
    description: Names of containers that are workers whatever their settings and log say. With O(project) only these
      are read.
    type: list
    elements: str
    default: []
  registered_as:
    description: Wait until the worker of O(project) is registered under this agent name; fail with the reason when it
      cannot be.
    type: str
  wait_seconds:
    description: How long O(registered_as) waits. A start takes 4 to 7 s on 2 cores (livekit-agents 1.8.9, measured).
    type: float
    default: 60.0
extends_documentation_fragment: [livekit_deploy.requests, livekit_deploy.reads]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Read all workers of the host
  livekit_worker_info:

- name: Find every worker of the host, also those of others
  livekit_worker_info:
    everywhere: true
  become: true

- name: Wait until the new worker is registered
  livekit_worker_info:
    project: sidekick-20261122t101500z-0a1b2c3d
    registered_as: sidekick-agent-staging-docker
"""

RETURN = r"""
time:
  description: The host's clock in seconds since the epoch.
  returned: always
  type: float
workers:
  description:
    - One entry per worker.
    - C(kind) is V(container) or V(process); C(container) is then C(process <pid>), C(project) is empty.
    - C(env) holds AGENT_NAME and LIVEKIT_AGENT_NAME as the worker was created with, C(override)
      LIVEKIT_AGENT_NAME_OVERRIDE, C(configured_url) LIVEKIT_URL; C(agent_name) is the name in effect, from the
      latest registration, none when that line is not in the log any more.
    - C(worker_id) is new at every reconnect (livekit-agents 1.8.9); C(connected) tells that no connection failure
      followed, none when the log cannot be read, and C(unread) then says why.
    - C(load), C(active_jobs), C(sdk_version) and C(answered_name) come from the worker's own port; none when it does
      not answer.
    - C(supervisor) says who would start the worker again. C(kind) is V(docker) (with the restart C(policy)), V(systemd)
      (C(name) is the unit, C(user) the id of the user whose manager runs it), V(none) (started by hand, C(name) is the
      shell or terminal) or V(other) (C(name) tells what); C(enabled) tells whether it starts again at boot, none when
      that is not known.
    - C(start_command) is how to start it again, empty when that is not known. Of a process started by hand it has
      program, script and subcommand only, because any other word may be a secret.
    - C(reach) says how far back its log was read, with C(begins) and C(ends) (seconds since the epoch), C(whole)
      (nothing between is missing) and C(why) it does not reach further back. A log of more than 256 MiB is read from
      its newest part on.
    - C(sdk) is V(python) or V(node), none when that is not known; C(dev) tells that it was started with C(dev),
      C(unnamed) is the line of a registration in which no id can be read.
    - C(troubles) has for each kind of job process that died C(count), and the newest C(line), C(error) and C(time);
      C(unknown_errors) counts lines of level ERROR that are not known, C(last_unknown_error) is the newest.
      C(oom_killed) tells that the kernel killed a process of it for want of memory since it started. What quotes the
      log has no secret of its environment.
    - C(pid) is the main process on the host, C(directory) the directory of the compose project or of the process.
  returned: always
  type: list
  elements: dict
unread:
  description: What could not be looked at, one sentence each.
  returned: always
  type: list
  elements: str
evictions:
  description: What M(livekit_worker) was told to stop since the host started.
  returned: with O(everywhere)
  type: list
  elements: dict
waits:
  description: What was waited for, and the seconds.
  returned: with O(registered_as)
  type: list
  elements: dict
"""

import time
from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.common.waiting import wait_until
from ansible.module_utils.livekit_deploy.machine import command, docker
from ansible.module_utils.livekit_deploy.machine.command import Reader
from ansible.module_utils.livekit_deploy.worker import readings, registration, search
from ansible.module_utils.livekit_deploy.worker.eviction_records import Records
from ansible.module_utils.livekit_deploy.worker.types import ProjectReading

ARGUMENT_SPEC: dict[str, Any] = {
    "project": {"type": "str"},
    "everywhere": {"type": "bool", "default": False},
    "since": {"type": "float"},
    "job_ids": {"type": "list", "elements": "str", "default": []},
    "rooms": {"type": "list", "elements": "str", "default": []},
    "log_patterns": {"type": "list", "elements": "str", "default": []},
    "known": {"type": "list", "elements": "str", "default": []},
    "registered_as": {"type": "str"},
    "wait_seconds": {"type": "float", "default": 60.0},
}
# All that one reading runs, where an Engine does not answer.
TOTAL_SECONDS = 120.0


def wait_registered(run: Reader, module: Module, **selection: Any) -> dict[str, Any]:
    """Poll until the worker is registered; ends at once when it cannot become so."""
    started, p = time.monotonic(), module.params

    def look() -> tuple[ProjectReading, registration.Trouble | None]:
        found = readings.readings(run, project=p["project"], known=p["known"], **selection)
        return found, registration.registration_trouble(found["workers"], p["registered_as"])

    found, trouble = wait_until(look, p["wait_seconds"], 0.3, holds=lambda seen: not seen[1] or seen[1].final)
    if trouble:
        module.fail_json(msg=f"{trouble.text} (after {time.monotonic() - started:.0f} s)", unread=[], **found)
    return {**found, "waits": [{"what": "worker registration", "seconds": round(time.monotonic() - started, 1)}]}


def read(module: Module) -> dict[str, Any]:
    p = module.params
    run = command.Runner(total_seconds=TOTAL_SECONDS + (p["wait_seconds"] if p["registered_as"] is not None else 0.0))
    selection = {"job_ids": p["job_ids"], "rooms": p["rooms"], "patterns": p["log_patterns"], "since": p["since"]}
    if p["everywhere"]:
        return {**search.everywhere(run, **selection), "evictions": Records().all()}
    if p["registered_as"] is not None:
        return wait_registered(run, module, **selection)
    if any(name.startswith("process ") for name in p["known"]):
        return dict(search.everywhere(run, **selection))
    return {**readings.readings(run, project=p["project"], known=p["known"], **selection)}


@guarded
def main() -> None:
    exclusive = [("everywhere", "project"), ("everywhere", "known"), ("everywhere", "registered_as")]
    module = Module(
        ARGUMENT_SPEC, required_by={"registered_as": "project"}, mutually_exclusive=exclusive, supports_check_mode=True
    )
    try:
        module.exit_json(**{"changed": False, "unread": [], **read(module)})
    except docker.EngineError as error:
        module.fail_json(
            msg=f"found: the Docker Engine refused: {error}. Expected: an answer. "
            "Look at `systemctl status docker` on the host"
        )


if __name__ == "__main__":
    main()
