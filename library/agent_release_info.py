#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Read the releases of an application on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent_release_info
short_description: Read the release record, its drift, the containers and the workers of a host
description:
  - Reads what serves on a host, from the release record and from the Docker Engine, and whether both still agree.
  - Also tells what a host lacks that C(provision.yml) would install, and how far its clock is from the controller's.
options:
  agent_name:
    description:
      - The agent name that the inventory gives the host. Where no release serves, a worker under this name is the
        host's own, whoever started it, and RV(release) has the id V(unmanaged) and C(unmanaged=true). It is looked for
        among all containers and processes.
    type: str
extends_documentation_fragment:
  - livekit_deploy.application
  - livekit_deploy.clock
  - livekit_deploy.requests
  - livekit_deploy.reads
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Read what serves on the host
  agent_release_info:
    app: sidekick
    agent_name: sidekick-agent-staging
  register: __sidekick
"""

RETURN = r"""
missing:
  description: What the host lacks to take a release; empty when it was provisioned.
  returned: always
  type: list
  elements: str
clock_skew_seconds:
  description: The host's clock minus the controller's, in seconds; includes the time to reach the host. None without
    O(controller_time).
  returned: always
  type: float
release:
  description: The record of the serving release, or none.
  returned: always
  type: dict
drift:
  description: What differs between the record and the host, one sentence each.
  returned: always
  type: list
  elements: str
services:
  description: The containers of the serving release by compose service, with C(running), C(image) and C(env) (the
    agent name variables).
  returned: always
  type: dict
states:
  description: State of each recorded release by id, V(staged), V(serving), V(draining) or V(retired).
  returned: always
  type: dict
leftovers:
  description: Ids of other releases that still have containers, or were left unfinished by a run that was killed.
  returned: always
  type: list
  elements: str
adopted:
  description: The worker's container of each hand-made compose project that was adopted, with the id of the release
    that the project is.
  returned: always
  type: dict
workers:
  description: A reading of each worker container, as M(livekit_worker_info) returns it.
  returned: always
  type: list
  elements: dict
time:
  description: The host's clock in seconds since the epoch.
  returned: always
  type: float
"""

import time
from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.machine import command, docker
from ansible.module_utils.livekit_deploy.release import refusal, state, unmanaged
from ansible.module_utils.livekit_deploy.release.errors import ReleaseError
from ansible.module_utils.livekit_deploy.release.proxy import upstream_path
from ansible.module_utils.livekit_deploy.release.store import Releases
from ansible.module_utils.livekit_deploy.worker import search

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    "agent_name": {"type": "str"},
    "job_ids": {"type": "list", "elements": "str", "default": []},
    "rooms": {"type": "list", "elements": "str", "default": []},
    "log_patterns": {"type": "list", "elements": "str", "default": []},
    "controller_time": {"type": "float"},
}
# All that one reading runs, where an Engine does not answer.
TOTAL_SECONDS = 120.0
EMPTY: dict[str, Any] = {
    "release": None,
    "drift": [],
    "services": {},
    "states": {},
    "leftovers": [],
    "adopted": {},
    "workers": [],
}


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    p = module.params
    directory, upstream = f"{p['root']}/{p['app']}", upstream_path(p["app"])
    skew = round(time.time() - p["controller_time"], 1) if p["controller_time"] else None
    result: dict[str, Any] = {"changed": False, "clock_skew_seconds": skew, "time": time.time(), **EMPTY}
    releases = Releases(command.Runner(total_seconds=TOTAL_SECONDS), p["app"], directory, upstream)
    try:
        result["missing"] = refusal.missing_on_host(releases.run, directory, refusal.awaited_upstream(releases))
        selection = {"job_ids": p["job_ids"], "rooms": p["rooms"], "patterns": p["log_patterns"]}
        if not result["missing"]:
            result.update(state.release_info(releases, **selection))
        if p["agent_name"] and not result["release"]:
            reading: Any = {**result, **search.everywhere(releases.run, **selection)}
            result.update(unmanaged.with_unmanaged(reading, p["app"], p["agent_name"]))
    except docker.EngineError as error:
        look = "Look at `systemctl status docker` on the host"
        module.fail_json(msg=f"found: the Docker Engine refused: {error}. Expected: an answer. {look}")
    except (ReleaseError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
