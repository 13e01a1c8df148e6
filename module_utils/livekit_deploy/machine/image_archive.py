# SPDX-License-Identifier: Apache-2.0
"""Images in files of ``docker save``: which one is meant, the ids it can get, and a copy of the file that moves
nobody's tag.

An image's id is the SHA-256 of its configuration, with the containerd image store that of its manifest. Both are in the
file.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from ..common.text import parsed

# Layers are larger as a rule, and need not be read.
SMALL = 2**20
DOCUMENTS = 64 * SMALL
NAMESPACE = "livekit-agent-deploy"
MANIFESTS, INDEX, LAYOUT = "manifest.json", "index.json", "oci-layout"
SAVE_IT = "Make it anew: docker save --output"


class ArchiveError(Exception):
    """The file is not what is needed; the text says found, expected and what to do."""


# JSON of an archive: OCI's and Docker's own forms, of which few keys are read here.
Json = Mapping[str, Any]


class ImageArchive(TypedDict):
    """An image in an archive."""

    image: str
    """The reference that stands for it."""
    path: str
    id: str
    ids: list[str]
    """What it may be called on a host, by the kind of its image store."""
    platform: str
    config: str
    """The name of its configuration in the file."""
    tops: list[str]
    """Those entries of the index that lead to it."""


def own_name(app: str, image_id: str) -> str:
    """What an archived image is called on the hosts: by its id, so another image has another name."""
    return f"{NAMESPACE}/{app}:{image_id.removeprefix('sha256:')}"


def is_own(name: str) -> bool:
    return name.startswith(f"{NAMESPACE}/")


# --- reading ---------------------------------------------------------------------------------------------------------


def read_archive(path: Path, image: str) -> ImageArchive:
    """Return the image that a reference stands for in an archive."""
    if not path.is_file():
        raise ArchiveError(
            f"found: no file {path} for {image}, expected an archive on the controller. {SAVE_IT} {path} {image}, or "
            "correct agent_release_image_archives"
        )
    documents = archive_documents(path, image)
    manifests = documents.get(MANIFESTS)
    if not isinstance(manifests, list) or not all(isinstance(one, dict) and "Config" in one for one in manifests):
        raise ArchiveError(
            f"found: {path} has no {MANIFESTS}, expected an archive of docker save. {SAVE_IT} {path} {image}"
        )
    name = choose(path, image, manifests)["Config"]
    config = documents.get(name)
    if not isinstance(config, dict) or "rootfs" not in config:
        raise ArchiveError(f"found: {path} lacks {name}, expected a whole archive. {SAVE_IT} {path} {image}")
    image_id = documents.digest(name)
    tops = tops_with(documents, image_id)
    return {
        "image": image,
        "path": str(path),
        "id": image_id,
        "ids": list(dict.fromkeys([image_id, *tops, *itertools.chain.from_iterable(tops.values())])),
        "platform": "/".join(str(config[key]) for key in ("os", "architecture") if config.get(key)),
        "config": name,
        "tops": list(tops),
    }


class Documents(dict[str, Any]):
    """The JSON files of an archive by name; ``texts`` are as they were."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, bytes] = {}

    def add(self, name: str, text: bytes) -> None:
        """A small file; a layer may look like JSON and be none."""
        found = parsed(text)
        if found is not None:
            self[name] = found
        self.texts[name] = text

    def digest(self, name: str) -> str:
        return f"sha256:{hashlib.sha256(self.texts[name]).hexdigest()}"


def archive_documents(path: Path, image: str) -> Documents:
    """All small JSON files of an archive, in one pass: a compressed one cannot be read at a place."""
    documents, kept = Documents(), 0
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() and member.size <= SMALL else None
                text = file.read() if file else b""
                if text[:1] in (b"{", b"["):
                    kept += len(text)
                    if kept > DOCUMENTS:
                        raise ValueError(f"its small files have more than {DOCUMENTS // SMALL} MiB of JSON")
                    documents.add(member.name.removeprefix("./"), text)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        why = str(error).partition("\n")[0].rstrip(":")
        raise ArchiveError(
            f"found: {path} cannot be read as an archive ({why}), expected one of docker save (tar, also with gzip). "
            f"{SAVE_IT} {path} {image}"
        ) from None
    return documents


def choose(path: Path, image: str, manifests: Sequence[Json]) -> Json:
    """The only image of an archive, or of several the one that has the reference."""
    if len(manifests) == 1:
        return manifests[0]
    found = [one for one in manifests if normal_reference(image) in map(normal_reference, one.get("RepoTags") or [])]
    if len(found) == 1:
        return found[0]
    there = ", ".join(sorted(tag for one in manifests for tag in one.get("RepoTags") or [])) or "images without a name"
    raise ArchiveError(f"found: {there} in {path}, expected {image}. {SAVE_IT} {path} {image}, or name one of these")


def normal_reference(reference: str) -> str:
    name = reference.removeprefix("docker.io/").removeprefix("library/")
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def index_tops(documents: Json) -> list[Json]:
    """What the index of an archive names, where it has one (Engine 25 and newer)."""
    return list((documents.get(INDEX) or {}).get("manifests") or []) if LAYOUT in documents else []


def tops_with(documents: Json, image_id: str) -> dict[str, list[str]]:
    """Return the digests of the index that lead to an image, each with all that it leads to."""
    found = {top["digest"]: list(reached(documents, top)) for top in index_tops(documents)}
    return {top: digests for top, digests in found.items() if image_id in digests}


def reached(documents: Json, descriptor: Json) -> Iterator[str]:
    """The digests of manifests and configurations below a descriptor, itself included."""
    yield descriptor["digest"]
    manifest = documents.get(f"blobs/{descriptor['digest'].replace(':', '/')}")
    if isinstance(manifest, dict):
        below = [
            *(manifest.get("manifests") or []),
            *([manifest["config"]] if "config" in manifest and "layers" in manifest else []),
        ]
        for one in below:
            yield from reached(documents, one)


# --- a copy with one image, under our name ---------------------------------------------------------------------------


def only(source: Path, target: Path, archive: ImageArchive, name: str) -> None:
    """Write an archive anew, so that loading it brings one image under ``name`` and no tag of the archive."""
    handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    with (
        os.fdopen(handle, "wb") as file,
        tarfile.open(source, "r:*") as old,
        tarfile.open(fileobj=file, mode="w") as new,
    ):
        for member in old:
            inside = member.name.removeprefix("./")
            data = old.extractfile(member) if member.isreg() else None
            if inside == "repositories":
                continue  # tags again, for Engines before 1.10
            if data and inside in (MANIFESTS, INDEX):
                rename = renamed_manifests if inside == MANIFESTS else renamed_index
                text = json.dumps(rename(parsed(data.read(SMALL)), archive, name)).encode()
                member.size, data = len(text), io.BytesIO(text)
            new.addfile(member, data)


def renamed_manifests(manifests: Sequence[Json], archive: ImageArchive, name: str) -> list[Json]:
    return [{**one, "RepoTags": [name]} for one in manifests if one["Config"] == archive["config"]]


def renamed_index(index: Json, archive: ImageArchive, name: str) -> Json:
    annotations = {
        "io.containerd.image.name": f"docker.io/{name}",
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    kept = [
        {**one, "annotations": annotations} for one in index.get("manifests") or [] if one["digest"] in archive["tops"]
    ]
    return {**index, "manifests": kept[:1]}


# --- of an inventory -------------------------------------------------------------------------------------------------
