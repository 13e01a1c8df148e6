#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Read which system a host has, and what of Docker and of time synchronisation."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_info
short_description: Read a host's system, Docker Engine, Compose and time synchronisation
description:
  - Tells what is there before C(provision.yml) installs what is not.
options:
  systems:
    description: The systems that are supported, C(<ID> <VERSION_ID>) as in C(/etc/os-release), each with the packages that bring Engine and Compose 2.
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
"""

import platform
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.livekit_deploy import command
from ansible.module_utils.livekit_deploy.answer import Module, guarded
from ansible.module_utils.livekit_deploy.command import Run

ARGUMENT_SPEC: dict[str, Any] = {"systems": {"type": "dict", "default": {}}}
TIME_SERVICES = ("systemd-timesyncd", "chrony", "chronyd", "ntp", "ntpd", "ntpsec", "openntpd")
SECONDS = 20.0


def answer(run: Run, *argv: str) -> str:
    """Standard output of a command, or nothing where the command is not there or fails."""
    status, out, _err = run(argv)
    return out.strip() if status == 0 else ""


def system(systems: Mapping[str, Any]) -> dict[str, Any]:
    """Which system this is, and what is known of it."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {"ID": "unknown"}
    key = f"{release['ID']} {release.get('VERSION_ID', '')}".strip()
    return {"system": release.get("PRETTY_NAME") or key, "supported": key in systems, "packages": list(systems.get(key) or [])}


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    run = command.Runner(SECONDS, total_seconds=6 * SECONDS)
    active = [run(["systemctl", "is-active", "--quiet", name])[0] == 0 for name in TIME_SERVICES]
    module.exit_json(
        changed=False,
        **system(module.params["systems"]),
        version=answer(run, "docker", "version", "--format", "{{.Server.Version}}"),
        compose_version=answer(run, "docker", "compose", "version", "--short"),
        container=answer(run, "systemd-detect-virt", "--container") not in ("", "none"),
        time_synchronized=any(active),
    )


if __name__ == "__main__":
    main()
