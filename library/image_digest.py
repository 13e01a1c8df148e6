#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Resolve image references to digests."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_digest
short_description: Resolve image references to the digests a registry has for them now
description:
  - Pulls each image that is named by a tag and answers its reference by digest, so that every host of a run gets the same image.
  - A reference that already names a digest is answered as it is, without asking anybody.
options:
  images:
    description: Image references, C(registry/repository:tag) or C(registry/repository@sha256:...).
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    description: In check mode nothing is pulled; an image the host does not have is answered as it was named.
    support: full
extends_documentation_fragment: [livekit_deploy.no_diff]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Resolve the images once
  image_digest:
    images: [registry.example/sidekick-worker:1.4.2]
  register: __images
"""

RETURN = r"""
digests:
  description: Each reference of O(images) and what it stands for, C(registry/repository@sha256:...).
  returned: always
  type: dict
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.livekit_deploy import engine, release

ARGUMENT_SPEC: dict[str, Any] = {"images": {"type": "list", "elements": "str", "required": True}}


def resolve(run: engine.Run, image: str, pull: bool) -> tuple[str, bool]:
    """The reference by digest, and whether the host's images changed."""
    if "@sha256:" in image:
        return image, False
    before = digests(run, image)
    if pull:
        engine.docker(run, "pull", "--quiet", image)
    after = digests(run, image)
    return release.pinned(image, after) or image, before != after


def digests(run: engine.Run, image: str) -> list[str]:
    status, out, _err = run(["docker", "image", "inspect", "--format", "{{json .RepoDigests}}", image])
    return list(json.loads(out)) if status == 0 else []


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    found, changed = {}, False
    for image in module.params["images"]:
        try:
            found[image], pulled = resolve(module.run_command, image, not module.check_mode)
            changed = changed or pulled
        except engine.EngineError as error:
            module.fail_json(
                msg=f"found: no image {image} ({error}). Expected: the registry has it and lets this host in. "
                "Push it, or correct livekit_agent_image or agent_api_image in the inventory"
            )
    module.exit_json(changed=changed, digests=found)


if __name__ == "__main__":
    main()
