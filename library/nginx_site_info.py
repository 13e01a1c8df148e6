#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Whether a host can serve a site of nginx."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_site_info
short_description: Tell who keeps a site of nginx from its ports
description:
  - Looks who listens on the ports of a site before nginx is installed or reloaded, since a reload does not fail when a
    port cannot be had.
  - nginx of the host itself may have them; nginx in a container may not.
options:
  ports:
    description: Port of the site by the variable that sets it.
    type: dict
    required: true
extends_documentation_fragment: [livekit_deploy.reads]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Look who has the ports
  nginx_site_info:
    ports: {api_proxy_listen_port: 80}
  register: __ports
"""

RETURN = r"""
installed:
  description: nginx is installed.
  returned: always
  type: bool
problems:
  description: What has to be done before the site can be served, one sentence each.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.machine import nginx, sockets
from ansible.module_utils.livekit_deploy.machine.command import Runner

ARGUMENT_SPEC: dict[str, Any] = {"ports": {"type": "dict", "required": True}}


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    run = Runner(total_seconds=120.0)

    def taken_by(port: int) -> str:
        return sockets.taken_by(run, port, besides="nginx")

    taken = {variable: (int(port), taken_by(int(port))) for variable, port in module.params["ports"].items()}
    installed = run(["nginx", "-v"])[0] == 0
    packaged = "" if installed else taken_by(nginx.PACKAGED_PORT)
    module.exit_json(changed=False, installed=installed, problems=nginx.port_problems(taken, packaged))


if __name__ == "__main__":
    main()
