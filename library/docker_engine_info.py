#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Read which system a host has, and what of Docker and of time synchronisation."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_info
short_description: Read a host's system, Docker Engine, Compose and time synchronisation
description:
  - Tells what is there before C(provision.yml) installs what is not, and why nothing may be installed.
options:
  minimum_version:
    description: An Engine that is older than this is refused.
    type: str
    default: "20.10"
  systems:
    description: The systems that are supported, C(<ID> <VERSION_ID>) as in C(/etc/os-release), each with the packages
      that bring Engine and Compose 2.
    type: dict
    default: {}
extends_documentation_fragment: [livekit_deploy.reads]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Read the Engine
  docker_engine_info:
    systems:
      debian 13: [docker.io, docker-cli, docker-compose]
  register: __engine
"""

RETURN = r"""
system:
  description: Name of the host's system, as it calls itself.
  returned: always
  type: str
supported:
  description: The system is one of O(systems).
  returned: always
  type: bool
packages:
  description: The packages that O(systems) has for it; empty where there are none.
  returned: always
  type: list
  elements: str
docker:
  description:
    - "What the host's Docker is good for: V(absent) = there is none, and packages may be installed; V(usable) = it is
      kept as it is; V(refused) = there is one and RV(trouble) says why it cannot be used."
  returned: always
  type: str
trouble:
  description: What was found, what is expected and what to do, where RV(docker) is V(refused); else empty.
  returned: always
  type: str
version:
  description: Version of the Engine that answers; empty when none does.
  returned: always
  type: str
compose_version:
  description: Version of C(docker compose); empty when there is none.
  returned: always
  type: str
container:
  description: The host is a container itself, so its clock is another's to set.
  returned: always
  type: bool
time_synchronized:
  description: A service keeps the clock.
  returned: always
  type: bool
time_packages:
  description: Installed packages of services that keep the clock. To install another one removes them.
  returned: always
  type: list
  elements: str
"""

import platform
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.livekit_deploy.common import commands
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.machine import command, docker_variants
from ansible.module_utils.livekit_deploy.machine.command import Run

ARGUMENT_SPEC: dict[str, Any] = {
    "minimum_version": {"type": "str", "default": docker_variants.MINIMUM_ENGINE},
    "systems": {"type": "dict", "default": {}},
}
TIME_SERVICES = ("systemd-timesyncd", "chrony", "chronyd", "ntp", "ntpd", "ntpsec", "openntpd")
SECONDS = 20.0


def system(systems: Mapping[str, Any]) -> dict[str, Any]:
    """Which system this is, and what is known of it."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {"ID": "unknown"}
    key = f"{release['ID']} {release.get('VERSION_ID', '')}".strip()
    return {
        "system": release.get("PRETTY_NAME") or key,
        "supported": key in systems,
        "packages": list(systems.get(key) or []),
    }


def clock(run: Run) -> dict[str, Any]:
    """Who keeps the clock. One that is installed and does not run is its owner's to start, not ours to replace."""
    active = any(run(["systemctl", "is-active", "--quiet", name])[0] == 0 for name in TIME_SERVICES)
    return {"time_synchronized": active, "time_packages": sorted(docker_variants.packages(run, docker_variants.CLOCKS))}


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    minimum = module.params["minimum_version"]
    if not docker_variants.numbers(minimum):
        module.fail_json(
            msg=f"found docker_host_minimum_version {minimum!r}, expected a version such as 20.10. Correct it"
        )
    run = command.Runner(SECONDS, total_seconds=6 * SECONDS)
    docker = docker_variants.look(run)
    judgement = docker_variants.judge(docker, minimum)
    time = clock(run)
    container = docker_variants.answer(run, "systemd-detect-virt", "--container") not in ("", "none")
    if time["time_packages"] and not time["time_synchronized"] and not container:
        name = time["time_packages"][0]
        module.warn(
            f"found: {name} is installed and does not run, expected a service that keeps the clock. "
            f"Start it: {commands.shell('systemctl', 'start', name)}"
        )
    module.exit_json(
        changed=False,
        **system(module.params["systems"]),
        docker=judgement.kind,
        trouble=judgement.trouble,
        version=docker.version,
        compose_version=docker.compose,
        container=container,
        **time,
    )


if __name__ == "__main__":
    main()
