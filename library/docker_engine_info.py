#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Read what a host has of Docker and of time synchronisation."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_info
short_description: Read a host's Docker Engine, Compose and time synchronisation
description:
  - Tells what is there before C(provision.yml) installs what is not.
extends_documentation_fragment: [livekit_deploy.reads]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Read the Engine
  docker_engine_info:
  register: __engine
"""

RETURN = r"""
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

from ansible.module_utils.basic import AnsibleModule

TIME_SERVICES = ("systemd-timesyncd", "chrony", "chronyd", "ntp", "ntpd", "ntpsec", "openntpd")


def answer(module: AnsibleModule, *argv: str) -> str:
    """Standard output of a command, or nothing where the command is not there or fails."""
    if not module.get_bin_path(argv[0]):
        return ""
    status, out, _err = module.run_command(list(argv))
    return str(out).strip() if status == 0 else ""


def main() -> None:
    module = AnsibleModule({}, supports_check_mode=True)
    active = [module.run_command(["systemctl", "is-active", "--quiet", name])[0] == 0 for name in TIME_SERVICES]
    module.exit_json(
        changed=False,
        version=answer(module, "docker", "version", "--format", "{{.Server.Version}}"),
        compose_version=answer(module, "docker", "compose", "version", "--short"),
        container=answer(module, "systemd-detect-virt", "--container") not in ("", "none"),
        time_synchronized=any(active),
    )


if __name__ == "__main__":
    main()
