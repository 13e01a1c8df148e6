#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Read which images the archives of docker save hold."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_archive_info
short_description: Read which images archives of docker save hold, by id
description:
  - Finds in each archive the image that a reference stands for, and the ids by which an Engine knows it when it is
    loaded.
  - Of an archive with one image that image is meant, whatever it is called; of several, the one with the reference.
  - Reads files of the controller; an archive that cannot be used is answered with the reason, and the module does not
    fail.
options:
  archives:
    description: What to read.
    type: list
    elements: dict
    required: true
    suboptions:
      image: {description: Reference of the image., type: str, required: true}
      path: {description: "The archive, a tar file, which may be compressed with gzip.", type: str, required: true}
extends_documentation_fragment: [livekit_deploy.reads]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Read the image archive
  image_archive_info:
    archives:
      - {image: "sidekick-worker:1.4.2", path: build/sidekick-worker.tar.gz}
  delegate_to: localhost
"""

RETURN = r"""
archives:
  description:
    - For each of O(archives) its C(image) and C(path), and C(trouble) (why it cannot be used), or C(id), C(ids) (that
      an Engine may give it), C(platform), and where it is in the file (C(config), C(tops)).
  returned: always
  type: list
  elements: dict
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.machine import image_archive

ARGUMENT_SPEC: dict[str, Any] = {
    "archives": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"image": {"type": "str", "required": True}, "path": {"type": "str", "required": True}},
    },
}


def archive_or_trouble(image: str, path: str) -> Mapping[str, object]:
    try:
        return image_archive.read_archive(Path(path), image)
    except image_archive.ArchiveError as error:
        return {"image": image, "path": path, "trouble": str(error)}


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    module.exit_json(
        changed=False, archives=[archive_or_trouble(one["image"], one["path"]) for one in module.params["archives"]]
    )


if __name__ == "__main__":
    main()
