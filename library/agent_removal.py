#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Take an application off a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent_removal
short_description: Take an application off a host, when its calls have ended
description:
  - Takes the host's lock and does all in one step. The proxy forgets the application, the API answers its last request,
    the workers finish their calls; then containers, networks and files of ours go.
  - What others have stays, and so does a project that was adopted, stopped. Where a worker still has calls after
    O(wait_seconds) it fails, and is to be repeated.
options:
  wait_seconds:
    description: How long workers may take to finish their calls.
    type: float
    default: 15.0
  instance_host:
    description: The host's name in the inventory, for RV(report_notes).
    type: str
    default: ""
attributes:
  check_mode:
    description: Answers what it would do, writes nothing and takes no lock.
    support: full
  diff_mode:
    description: Nothing to show.
    support: none
extends_documentation_fragment: [livekit_deploy.application, livekit_deploy.owner]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Take the application off the host
  agent_removal:
    app: sidekick
    owner: "{{ '' | livekit_run_owner }}"
    alive: "{{ '' | livekit_alive }}"
    purpose: remove
"""

RETURN = r"""
report_notes:
  description: What the user is told at the end of the run.
  returned: when it was removed, or was not there
  type: list
  elements: str
removal:
  description:
    - What was there of ours, or still is in check mode. C(agent_names) (that workers here served), C(serving),
      C(releases), C(containers), C(networks), C(images), C(files) (of the proxy), C(directory), C(history) (its last
      line).
    - What stays. C(adopted) (projects), C(volumes), C(others) (files of others in the directory), C(kept) (an upstream
      that is still included).
  returned: when it was removed, or was not there
  type: dict
"""

from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.common.text import Masker
from ansible.module_utils.livekit_deploy.machine import command
from ansible.module_utils.livekit_deploy.release import lock
from ansible.module_utils.livekit_deploy.release.errors import TROUBLE
from ansible.module_utils.livekit_deploy.release.proxy import site_path, upstream_path
from ansible.module_utils.livekit_deploy.release.removal import Removal, take_off
from ansible.module_utils.livekit_deploy.release.removal_notes import removal_notes
from ansible.module_utils.livekit_deploy.release.store import Releases

# How long one program may take; waiting comes on top.
DEADLINE_SECONDS = 120.0
ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    **lock.OPTIONS,
    "wait_seconds": {"type": "float", "default": 15.0},
    "instance_host": {"type": "str", "default": ""},
}


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    p = module.params
    runner = command.Runner(DEADLINE_SECONDS, DEADLINE_SECONDS + 2 * (p["lock_wait_seconds"] + p["wait_seconds"]))
    releases = Releases(runner, p["app"], f"{p['root']}/{p['app']}", upstream_path(p["app"]))
    module.words = Masker.of(*releases.environments())
    removal = Removal(releases, site_path(p["app"]))
    try:
        waits = p["lock_wait_seconds"], p["wait_seconds"]
        found = removal.survey() if module.check_mode else take_off(removal, lock.claim(p), *waits)
    except lock.LockError as error:
        module.fail_json(msg=str(error))
    except TROUBLE as error:
        module.fail_json(msg=f"remove: {error}")
    notes = removal_notes(p["instance_host"], p["app"], found, module.check_mode)
    module.exit_json(changed=found.get("changed", found["there"]), removal=found, report_notes=notes)


if __name__ == "__main__":
    main()
