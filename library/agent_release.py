#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Take a release of an application on a host from one state to the next."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent_release
short_description: Stage, serve, abandon or retire a release on a host
description:
  - V(staged) writes the release's directory with its standby gate closed; nothing runs.
  - V(serving) opens the gate of a release that runs, points the proxy to its API, closes the gate of the one before, and records it.
  - V(abandoned) takes a release back; the one before it serves, or serves again, and what the failed one started is removed.
  - V(retired) drains and stops every release but the serving one, and removes the oldest of them.
  - A worker is drained with one signal only and never killed before its own timeout; one that is still busy is left and reported.
options:
  state:
    description: What the release is to become.
    type: str
    required: true
    choices: [staged, serving, abandoned, retired]
  release:
    description: Id of the release; needed for every state but V(retired).
    type: str
  record:
    description: What the record of a staged release says beside its id, such as its agent name and images.
    type: dict
    default: {}
  compose:
    description: Text of C(compose.yml) for a staged release.
    type: str
  env:
    description: Environment of each compose service for a staged release; written to C(<service>.env), mode 0600.
    type: dict
    default: {}
  secret_env:
    description: As O(env), for values that are secret.
    type: dict
    default: {}
  wait_seconds:
    description: How long V(retired) waits for workers to finish their calls before it leaves them draining.
    type: float
    default: 15.0
  keep:
    description: How many stopped releases V(retired) keeps.
    type: int
    default: 3
attributes:
  check_mode:
    description: Says whether it would change something and writes nothing.
    support: full
extends_documentation_fragment: [livekit_deploy.application, livekit_deploy.no_diff]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Switch to the release that was proven
  agent_release:
    app: sidekick
    state: serving
    release: 20261122T101500Z-0a1b2c3d
"""

RETURN = r"""
draining:
  description: Ids of releases whose workers still have calls.
  returned: when O(state=retired) or O(state=abandoned)
  type: list
  elements: str
retired:
  description: Ids of releases that were stopped.
  returned: when O(state=retired)
  type: list
  elements: str
removed:
  description: Ids of releases whose directories were removed.
  returned: when O(state=retired)
  type: list
  elements: str
serving:
  description: Id of the release that serves after an abandoned one, or none.
  returned: when O(state=abandoned)
  type: str
log:
  description: Last log lines of an abandoned release's containers.
  returned: when O(state=abandoned)
  type: list
  elements: str
release:
  description: After V(serving) the record; with it everything that M(agent_release_info) reads.
  returned: when O(state=serving)
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.livekit_deploy import engine, release
from ansible.module_utils.livekit_deploy.host import Host, ReleaseError, upstream_path

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    "state": {"type": "str", "required": True, "choices": ["staged", "serving", "abandoned", "retired"]},
    "release": {"type": "str"},
    "record": {"type": "dict", "default": {}},
    "compose": {"type": "str"},
    "env": {"type": "dict", "default": {}},
    "secret_env": {"type": "dict", "default": {}, "no_log": True},
    "wait_seconds": {"type": "float", "default": 15.0},
    "keep": {"type": "int", "default": 3},
}
REQUIRED_IF = [
    ("state", "staged", ("release", "compose")),
    ("state", "serving", ("release",)),
    ("state", "abandoned", ("release",)),
]


def staged(host: Host, params: dict[str, Any]) -> dict[str, Any]:
    files = {"compose.yml": params["compose"]}
    for name in release.SERVICES:
        values = {**params["env"].get(name, {}), **params["secret_env"].get(name, {})}
        files[f"{name}.env"] = release.env_file({key: str(value) for key, value in values.items()})
    return {"changed": host.stage({**params["record"], "id": params["release"]}, files)}


def serving(host: Host, params: dict[str, Any]) -> dict[str, Any]:
    changed = host.serve(params["release"])
    return {"changed": changed, **host.info()}


def abandoned(host: Host, params: dict[str, Any]) -> dict[str, Any]:
    return {"changed": True, **host.abandon(params["release"])}


def retired(host: Host, params: dict[str, Any]) -> dict[str, Any]:
    done = host.retire(params["wait_seconds"], params["keep"])
    return {"changed": bool(done["retired"] or done["removed"]), **done}


STATES = {"staged": staged, "serving": serving, "abandoned": abandoned, "retired": retired}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, required_if=REQUIRED_IF, supports_check_mode=True)
    params = module.params
    if params["release"] and not release.ID_PATTERN.fullmatch(params["release"]):
        module.fail_json(msg=f"found release {params['release']!r}, expected YYYYMMDDThhmmssZ-<8 hex digits>")
    host = Host(module.run_command, params["app"], f"{params['root']}/{params['app']}", upstream_path(params["app"]))
    if module.check_mode:
        current = host.current()
        module.exit_json(changed=params["state"] != "retired" and (not current or current["id"] != params["release"]))
    try:
        module.exit_json(**STATES[params["state"]](host, params))
    except (engine.EngineError, ReleaseError, OSError) as error:
        module.fail_json(msg=f"release {params['release']}, state {params['state']}: {error}")


if __name__ == "__main__":
    main()
