#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Let the Docker Engine know the authorities of registries' certificates."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_certificates
short_description: Write the certificates by which the Docker Engine knows registries
description:
  - Writes each certificate to C(<directory>/<address>/livekit-agent-deploy.crt), and leaves everything else there as it
    is. A registry that is not asked for any more keeps its file, since another application of the host may need it.
  - Docker reads them at each pull, so nothing has to be reloaded.
options:
  certificates:
    description: The PEM text for each registry, by its address as the images name it, C(host) or C(host:port).
    type: dict
    required: true
  directory:
    description: Where Docker looks.
    type: path
    default: /etc/docker/certs.d
attributes:
  check_mode:
    description: Says whether a file would change and does not write it.
    support: full
  diff_mode:
    description: Shows the files before and after.
    support: full
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Know the authority of our registry
  registry_certificates:
    certificates:
      registry.example.com:5000: "{{ lookup('ansible.builtin.file', 'files/our-ca.crt') }}"
"""

RETURN = r"""
written:
  description: The files that were written.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.common.files import read_text, write_atomically
from ansible.module_utils.livekit_deploy.machine.registry import certificate_trouble

NAME = "livekit-agent-deploy.crt"
ARGUMENT_SPEC: dict[str, Any] = {
    "certificates": {"type": "dict", "required": True},
    "directory": {"type": "path", "default": "/etc/docker/certs.d"},
}


def certificate_changes(directory: Path, certificates: dict[str, str]) -> dict[Path, tuple[str, str]]:
    """What each of our files is and has to be, where that differs; empty is no file."""
    wanted = {directory / address / NAME: f"{text.strip()}\n" for address, text in certificates.items()}
    return {path: (before, text) for path, text in sorted(wanted.items()) if (before := read_text(path) or "") != text}


def write_file(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_atomically(path, text, 0o644)


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    directory = Path(module.params["directory"])
    certificates = {str(address): str(text or "") for address, text in module.params["certificates"].items()}
    if troubles := [
        trouble for address, text in certificates.items() if (trouble := certificate_trouble(address, text))
    ]:
        module.fail_json(msg="; ".join(troubles))
    found = certificate_changes(directory, certificates)
    if not module.check_mode:
        for path, (_before, after) in found.items():
            write_file(path, after)
    diff = [
        {"before_header": str(path), "after_header": str(path), "before": old, "after": new}
        for path, (old, new) in found.items()
    ]
    module.exit_json(changed=bool(found), written=[str(path) for path in found], diff=diff)


if __name__ == "__main__":
    main()
