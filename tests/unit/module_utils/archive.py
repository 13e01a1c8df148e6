"""Archives as `docker save` makes them, with images that hold nothing; for tests of how they are read."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def config(text: str, architecture: str = "amd64") -> bytes:
    """The configuration of an image; another text is another image."""
    content = {
        "os": "linux",
        "architecture": architecture,
        "rootfs": {"type": "layers", "diff_ids": []},
        "comment": text,
    }
    return json.dumps(content).encode()


def save(path: Path, images: dict[str, bytes], *, index: bool = False, compression: str = "", prefix: str = "") -> Path:
    """``images`` are configurations by tag. With an index as Engine 25 and newer write it, else as older ones do."""
    files: dict[str, bytes] = {}
    manifests: list[dict[str, Any]] = []
    descriptors: list[dict[str, Any]] = []
    for tag, content in images.items():
        name = f"blobs/sha256/{digest(content)}" if index else f"{digest(content)}.json"
        files[name] = content
        manifests.append({"Config": name, "RepoTags": [tag], "Layers": []})
        manifest = json.dumps({"config": {"digest": f"sha256:{digest(content)}"}, "layers": []}).encode()
        if index:
            files[f"blobs/sha256/{digest(manifest)}"] = manifest
            descriptors.append(
                {"digest": f"sha256:{digest(manifest)}", "annotations": {"io.containerd.image.name": tag}}
            )
    files["manifest.json"] = json.dumps(manifests).encode()
    files |= (
        {"index.json": json.dumps({"manifests": descriptors}).encode(), "oci-layout": b"{}"}
        if index
        else {"repositories": b"{}"}
    )
    return write(path, {f"{prefix}{name}": data for name, data in files.items()}, compression)


def write(path: Path, files: dict[str, bytes], compression: str = "") -> Path:
    with (
        path.open("wb") as target,
        tarfile.open(fileobj=target, mode=f"w:{compression}") as archive,  # type: ignore[call-overload]
    ):
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def contents(path: Path) -> dict[str, Any]:
    """The JSON files of an archive."""
    with tarfile.open(path) as archive:
        return {member.name: json.loads((archive.extractfile(member) or io.BytesIO()).read()) for member in archive}
