# SPDX-License-Identifier: Apache-2.0
"""Archives of images that the inventory names, on the controller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..machine.image_archive import own_name
from .settings import IMAGES, Host


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


def archived(hostvars: Mapping[str, Any], host: str, app: str) -> dict[str, Any]:
    """Of what was read: the names of a host's images by reference, the archives by those names, and why one could not be read."""
    mine = archives_of(hostvars[host])
    answer = hostvars[host].get("__agent_release_archives_read") or {}
    if not mine or answer.get("skipped"):
        return {"images": {}, "archives": {}, "unread": ""}
    if "archives" not in answer:
        return {"images": {}, "archives": {}, "unread": str(answer.get("msg") or "the image archives were not read")}
    found = [one for one in answer["archives"] if mine.get(one["image"]) == one["path"]]
    troubles = [one["trouble"] for one in found if one.get("trouble")]
    names = {one["image"]: own_name(app, one["id"]) for one in found if not one.get("trouble")}
    facts = {names[one["image"]]: {key: one[key] for key in ("path", "ids", "config", "tops")} for one in found if one["image"] in names}
    return {"images": names, "archives": facts, "unread": " ".join(troubles)}


def _archive_problems(host: Host) -> Iterator[str]:
    archives = host.structured.get("agent_release_image_archives")
    if archives is not None and not isinstance(archives, Mapping):
        yield f"is of type {type(archives).__name__}, expected an archive's path for each image. Correct it in the inventory."
        return
    for image, path in host.archives.items():
        if not isinstance(path, str) or not path.strip():
            yield f"has no path for {image}, expected that of an archive of docker save. Correct it in the inventory."
        if "@" in image:
            yield f"has {image}, expected a reference without a digest: its id is read from the archive. Leave out @sha256:…"
