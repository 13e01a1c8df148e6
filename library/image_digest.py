#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Resolve image references to digests."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_digest
short_description: Resolve image references to the digests a registry has for them now
description:
  - Pulls each image that is named by a tag and answers its reference by digest, so that every host of a run gets the
    same image.
  - A reference that already names a digest is answered as it is, without asking anybody.
  - A tag that the host had before, other than by this module, points to the same image afterwards as it did before.
options:
  images:
    description: Image references, C(registry/repository:tag) or C(registry/repository@sha256:...).
    type: list
    elements: str
    required: true
  pull_seconds:
    description: How long all that is pulled may take.
    type: float
    default: 900.0
attributes:
  check_mode:
    description: In check mode nothing is pulled; an image the host does not have is answered as it was named.
    support: full
extends_documentation_fragment: [livekit_deploy.no_diff, livekit_deploy.application, livekit_deploy.registries]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Resolve the images once
  image_digest:
    app: sidekick
    images: [registry.example/sidekick-worker:1.4.2]
  register: __images
"""

RETURN = r"""
digests:
  description: Each reference of O(images) and what it stands for, C(registry/repository@sha256:...).
  returned: always
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.machine import command, docker, registry
from ansible.module_utils.livekit_deploy.machine.images import ImageError, Images, Logins, pinned

# What is run beside the pulls.
OTHER_SECONDS = 120.0
ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    "images": {"type": "list", "elements": "str", "required": True},
    "registries": registry.OPTIONS,
    "pull_seconds": {"type": "float", "default": 900.0},
}


def resolve(images: Images, image: str, logins: Logins, pull: bool) -> tuple[str, bool]:
    """The reference by digest, and whether the host's images changed."""
    if "@sha256:" in image:
        return image, False
    if pull:
        return images.resolve(image, logins)
    return pinned(image, images.inspect(image).get("RepoDigests") or []) or image, False


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    p = module.params
    images = Images(command.Runner(p["pull_seconds"], p["pull_seconds"] + OTHER_SECONDS), Path(p["root"]) / p["app"])
    found, changed = {}, False
    for image in p["images"]:
        try:
            found[image], pulled = resolve(images, image, p["registries"], not module.check_mode)
            changed = changed or pulled
        except (ImageError, docker.EngineError) as error:
            module.fail_json(msg=str(error))
    module.exit_json(changed=changed, digests=found)


if __name__ == "__main__":
    main()
