# SPDX-License-Identifier: Apache-2.0
"""Archives of images that the inventory names, on the controller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from ..machine.image_archive import own_name
from .settings import IMAGES, Settings
from .variables import HostVars, Variables

FACTS = ("path", "ids", "config", "tops")


class ArchivedImages(TypedDict):
    """What the archives hold of a host's images."""

    images: dict[str, str]  # names on the host by reference
    archives: dict[str, dict[str, Any]]  # by those names: the path, ids that an Engine may give it, places in the file
    unread: str  # why an archive could not be read


def host_archives(variables: Variables) -> dict[str, str]:
    """Return the archives of a host's images: reference to path, relative to where the playbook was started."""
    archives = variables.get("agent_release_image_archives") or {}
    images = {str(variables[name]) for name in IMAGES if name in variables}
    ours = {str(image): Path(str(path)) for image, path in archives.items() if str(image) in images}
    return {image: str(at_home(path).absolute()) for image, path in ours.items()}


def at_home(path: Path) -> Path:
    """Return the path without its ``~``, or as it is where nobody knows that home: then no such file is found."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def wanted_archives(hostvars: HostVars, hosts: Sequence[str]) -> list[dict[str, str]]:
    """Return all archives that a run needs, each once."""
    pairs = {pair for host in hosts for pair in host_archives(hostvars[host]).items()}
    return [{"image": image, "path": path} for image, path in sorted(pairs)]


def archived_images(read: list[dict[str, Any]], app: str) -> ArchivedImages:
    """Return what a host's images are called there, of what was read of their archives."""
    readable = [one for one in read if not one.get("trouble")]
    names = {one["image"]: own_name(app, one["id"]) for one in readable}
    facts = {names[one["image"]]: {key: one[key] for key in FACTS} for one in readable}
    unread = " ".join(one["trouble"] for one in read if one.get("trouble"))
    return {"images": names, "archives": facts, "unread": unread}


def archive_problems(host: Settings) -> Iterator[str]:
    archives = host.structured.get("agent_release_image_archives")
    if archives is not None and not isinstance(archives, Mapping):
        kind, expected = type(archives).__name__, "an archive's path for each image"
        yield f"is of type {kind}, expected {expected}. Correct it in the inventory."
        return
    for image, path in host.archives.items():
        if not isinstance(path, str) or not path.strip():
            yield f"has no path for {image}, expected that of an archive of docker save. Correct it in the inventory."
        if "@" in image:
            expected = "a reference without a digest: its id is read from the archive"
            yield f"has {image}, expected {expected}. Leave out @sha256:…"


def tagged_images(hostvars: HostVars, hosts: Sequence[str]) -> list[str]:
    """Return the images of all hosts that are named by tag, not by digest; those of archives are known by their ids."""
    named = {str(hostvars[host][name]): hostvars[host] for host in hosts for name in IMAGES}
    return sorted(
        image
        for image, variables in named.items()
        if image and "@sha256:" not in image and image not in (variables.get("agent_release_image_archives") or {})
    )
