# SPDX-License-Identifier: Apache-2.0
"""The images of one application on a host: brought, checked, and removed when no release needs them.

What this project brought to a host is noted in ``<root>/images``, one file a reference; nothing else is ever removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common.files import read_text, write_atomically
from ..common.text import parsed_object
from . import docker, image_archive, registry
from .command import Run

Logins = Sequence[Mapping[str, str]]
Archives = Mapping[str, image_archive.ImageArchive]
# What an Engine runs beside its own architecture.
ALSO_RUNS = {"linux/amd64": {"linux/386"}}


class ImageError(Exception):
    """An image cannot be used; the text says found, expected and what to do."""


class Images:
    """``root`` is the directory of the application, ``run`` runs an argument list (see ``command.Run``)."""

    def __init__(self, run: Run, root: Path) -> None:
        self.run = run
        self.root = root
        self.directory = root / "images"

    # --- what is there ---

    def inspect(self, reference: str) -> dict[str, Any]:
        """``docker image inspect``, empty where the host has no such image."""
        status, out, _err = self.run(["docker", "image", "inspect", "--format", "{{json .}}", reference])
        return parsed_object(out) if status == 0 else {}

    def id_of(self, reference: str) -> str:
        return str(self.inspect(reference).get("Id") or "")

    def are_here(self, services: Mapping[str, str]) -> bool:
        return all(self.id_of(reference) for reference in services.values())

    # --- what we brought ---

    def note_path(self, reference: str) -> Path:
        return self.directory / f"{hashlib.sha256(reference.encode()).hexdigest()[:16]}.ref"

    def note(self, reference: str, image_id: str = "") -> None:
        """Remember that this reference is of our making; noted before it is made, so that a killed run forgets nothing.

        A tag can be moved by others later on, so the image that it was ours for is noted with it.
        """
        if self.root.is_dir():
            self.directory.mkdir(mode=0o700, exist_ok=True)
            write_atomically(self.note_path(reference), f"{reference} {image_id}")

    def noted(self, reference: str) -> bool:
        """Whether a tag is ours, and still where we put it."""
        reference, _, image_id = (read_text(self.note_path(reference)) or "").partition(" ")
        return bool(image_id) and self.id_of(reference) == image_id

    def brought(self) -> list[str]:
        return sorted(text.partition(" ")[0] for path in self.directory.glob("*.ref") if (text := read_text(path)))

    # --- bringing them ---

    def fetch(self, images: Iterable[str], logins: Logins = (), known: Archives | None = None) -> list[str]:
        """Bring the images that the host lacks, from their registries or from the archives that were sent; returns
        them. One for another architecture is refused.
        """
        brought, wanted = [], list(dict.fromkeys(images))
        try:
            for image in wanted:
                archive = (known or {}).get(image)
                if archive or image_archive.is_own(image):
                    brought += self.load(image, archive)
                elif not self.id_of(image):
                    self.note(image)
                    self.pull(image, logins)
                    self.note(image, self.id_of(image))
                    brought.append(image)
        finally:
            self.drop_sent()
        self.refuse_other_platforms(wanted)
        return brought

    def pull(self, image: str, logins: Logins) -> None:
        login = registry.login_of(image, logins)
        try:
            with registry.logged_in(self.run, image, logins) as run:
                docker.docker(run, "pull", "--quiet", image)
        except docker.EngineError as error:
            # That the Engine is silent is no matter of a pull that takes its time.
            said = str(error).removesuffix(f". {docker.SILENT}")
            raise ImageError(
                registry.pull_trouble(image, said, login["username"] if login else "", self.platform())
            ) from None

    def resolve(self, image: str, logins: Logins = ()) -> tuple[str, bool]:
        """Pull a tag; its reference by digest, and whether another image came.

        A tag that somebody else has here stays where it is.
        """
        before, known = self.inspect(image), set(self.digests())
        ours = not before or self.noted(image)
        if not before:
            self.note(image)
        self.pull(image, logins)
        after = self.inspect(image)
        if ours:
            self.note(image, str(after.get("Id", "")))
        digest = pinned(image, after.get("RepoDigests") or [])
        if digest and digest not in known:
            self.note(digest)
        moved = before.get("Id") != after.get("Id")
        if moved and not ours:
            docker.docker(self.run, "tag", before["Id"], image)
        return digest or image, moved

    def digests(self) -> list[str]:
        return docker.docker(self.run, "image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}").split()

    # --- from archives ---

    def sent(self, name: str) -> Path:
        """Where an archive is copied to on this host."""
        return self.directory / f"{name.rpartition(':')[2]}.tar"

    def to_send(self, known: Archives) -> list[dict[str, str]]:
        """The archives whose images this host lacks, each with where it has to be copied to."""
        lacking = [name for name, archive in known.items() if not self.here(name, archive)]
        if lacking:
            self.directory.mkdir(mode=0o700, exist_ok=True)
        return [{"path": known[name]["path"], "destination": str(self.sent(name))} for name in lacking]

    def here(self, name: str, archive: image_archive.ImageArchive) -> str:
        """What the host knows the image of an archive by; empty where it does not have it."""
        return next((found for found in (name, *archive["ids"]) if self.id_of(found) in archive["ids"]), "")

    def load(self, name: str, archive: image_archive.ImageArchive | None) -> list[str]:
        if archive is None:
            if self.id_of(name):
                return []
            raise ImageError(
                f"found: no image {name} on this host any more, expected the one that was sent as an archive. Deploy "
                "from the archive again (agent_release_image_archives), or load it by hand: docker load --input "
                f"<archive>, then docker tag sha256:{name.rpartition(':')[2]} {name}"
            )
        found = self.here(name, archive)
        if found == name:
            return []
        self.note(name)
        if found:
            docker.docker(self.run, "tag", found, name)
        else:
            self.load_sent(name, archive)
        if (has := self.id_of(name)) not in archive["ids"]:
            self.run(["docker", "image", "rm", name])
            raise ImageError(
                f"found: {archive['path']} was loaded as {has or 'nothing'}, expected {' or '.join(archive['ids'])}. "
                "The file was changed meanwhile, or on its way: run again"
            )
        return [name]

    def load_sent(self, name: str, archive: image_archive.ImageArchive) -> None:
        sent, single = self.sent(name), self.sent(name).with_suffix(".single.tar")
        if not sent.is_file():
            raise ImageError(f"found: no file {sent}, expected {archive['path']} there, which the run sends. Run again")
        image_archive.only(sent, single, archive, name)
        sent.unlink()
        docker.docker(self.run, "load", "--quiet", "--input", str(single))

    def drop_sent(self) -> None:
        for path in self.directory.glob("*.tar"):
            path.unlink(missing_ok=True)

    # --- architecture ---

    def platform(self) -> str:
        status, out, _err = self.run(["docker", "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"])
        return out.strip() if status == 0 else ""

    def refuse_other_platforms(self, images: Iterable[str]) -> None:
        mine = self.platform()
        troubles = [text for image in images if (text := platform_trouble(image, self.inspect(image), mine))]
        if troubles:
            raise ImageError("; ".join(troubles))

    # --- removing them ---

    def prune(self, needed: Iterable[str]) -> list[str]:
        """Remove what we brought and no release (``needed`` are the images of all records) and no container of the host
        has; returns it. What Docker does not let go stays, and is tried again at the next end of a run.
        """
        brought = self.brought()
        if not brought:
            return []
        used = {container.get("Image") for container in docker.containers(self.run)} | {
            self.id_of(image) for image in set(needed)
        }
        return [reference for reference in brought if self.let_go(reference, used)]

    def let_go(self, reference: str, used: set[str | None]) -> bool:
        present = self.id_of(reference)
        if present and present in used:
            return False
        is_tag = "@sha256:" not in reference and not image_archive.is_own(reference)
        ours = bool(present) and (not is_tag or self.noted(reference))
        removed = ours and self.run(["docker", "image", "rm", reference])[0] == 0
        if removed or not ours:
            self.note_path(reference).unlink(missing_ok=True)
        return removed


def platform_trouble(image: str, inspected: Mapping[str, Any], mine: str) -> str:
    """Why an Engine of a platform (``linux/amd64``) cannot run an image; empty when it can, or when nobody says."""
    parts = [str(inspected.get(key) or "") for key in ("Os", "Architecture")]
    its = "/".join(parts)
    if not all(parts) or not mine or its == mine or its in ALSO_RUNS.get(mine, set()):
        return ""
    return (
        f"found: {image} is for {its}, expected {mine} as this host's Engine. Build it for this one, too: "
        f"docker buildx build --platform {mine} …"
    )


def pinned(image: str, repo_digests: list[str]) -> str | None:
    """The digest reference that belongs to an image's own repository: an image can be known under several."""
    name = image.rpartition("/")[2]
    repository = image[: len(image) - len(name)] + name.partition(":")[0]
    return next((d for d in repo_digests if d.partition("@")[0] == repository), None)
