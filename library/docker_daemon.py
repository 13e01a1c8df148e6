#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Merge settings into the Docker Engine's configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_daemon
short_description: Merge settings into the Docker Engine's configuration file
description:
  - Adds what is asked for and leaves everything else in C(/etc/docker/daemon.json) as it is; lists are united.
  - Restarts nothing. Use settings that take effect on a reload, and reload the service when it says changed.
options:
  settings:
    description: Settings that the file has to hold.
    type: dict
    required: true
  path:
    description: The file.
    type: path
    default: /etc/docker/daemon.json
attributes:
  check_mode:
    description: Says whether the file would change and does not write it.
    support: full
  diff_mode:
    description: Shows the settings of this task before and after, and none of others, such as the password of a proxy.
    support: full
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Let the Engine use a registry without TLS
  docker_daemon:
    settings:
      insecure-registries: ["192.0.2.10:5000"]
  notify: Reload Docker
"""

RETURN = r"""
settings:
  description: What O(settings) names as it is afterwards; settings of others are not told.
  returned: always
  type: dict
"""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.common.files import alone, read_text, write_atomically
from ansible.module_utils.livekit_deploy.common.merge import merged

ARGUMENT_SPEC: dict[str, Any] = {
    "settings": {"type": "dict", "required": True},
    "path": {"type": "path", "default": "/etc/docker/daemon.json"},
}


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    path = Path(module.params["path"])
    # Two entries of an inventory may be one host, and both provision it at the same time.
    with nullcontext() if module.check_mode else alone(path.parent):
        merge(module, path)


def merge(module: Module, path: Path) -> None:
    before = read_text(path)
    try:
        present = json.loads(before) if before and before.strip() else {}
    except ValueError as error:
        module.fail_json(
            msg=f"found: {path} is no JSON ({error}), expected an object. "
            "Correct it by hand: the Engine cannot read it either"
        )
    if not isinstance(present, dict):
        module.fail_json(
            msg=f"found: {path} is JSON but no object, expected an object. "
            "Correct it by hand: the Engine cannot use it either"
        )
    wanted = merged(present, module.params["settings"])
    changed = wanted != present
    after = json.dumps(wanted, indent=2) + "\n" if changed else before or ""
    if changed and not module.check_mode:
        # One that others may not read can hold the password of a proxy.
        write_atomically(path, after, 0o644 if before is None else path.stat().st_mode & 0o777)
    asked = module.params["settings"]
    shown = {
        name: json.dumps(asked_part(found, asked), indent=2) + "\n"
        for name, found in (("before", present), ("after", wanted))
    }
    module.exit_json(changed=changed, settings=asked_part(wanted, asked), diff=shown)


def asked_part(found: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Of a configuration what was asked for: the file may hold a password of others."""
    return {
        key: asked_part(found[key], value) if isinstance(value, dict) and isinstance(found[key], dict) else found[key]
        for key, value in asked.items()
        if key in found
    }


if __name__ == "__main__":
    main()
