# SPDX-License-Identifier: Apache-2.0
"""Archives of images that the inventory names, on the controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .problems import IMAGES


def archives_of(variables: Mapping[str, Any]) -> dict[str, str]:
    """The archives of the images that a host uses: reference to path. Relative paths are from where the playbook was started."""
    archives = variables.get("agent_release_image_archives") or {}
    images = {str(variables[name]) for name in IMAGES if name in variables}
    return {str(image): str(at_home(Path(str(path))).absolute()) for image, path in archives.items() if str(image) in images}


def at_home(path: Path) -> Path:
    """The path without its ``~``, or as it is where nobody knows that home: then no such file is found, and that is told."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def wanted(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[dict[str, str]]:
    """All archives that a run needs, each once."""
    pairs = {pair for host in hosts for pair in archives_of(hostvars[host]).items()}
    return [{"image": image, "path": path} for image, path in sorted(pairs)]


def tagged_images(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    """The images of all hosts that are named by a tag and not by a digest; those of archives are known by their ids."""
    images = {
        image
        for host in hosts
        for image in (str(hostvars[host][name]) for name in IMAGES)
        if image and image not in (hostvars[host].get("agent_release_image_archives") or {})
    }
    return sorted(image for image in images if "@sha256:" not in image)
