"""What is brought to a host, from registries and archives, and what is removed again; with a small Engine made up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import image_archive, images
from ansible.module_utils.livekit_deploy.machine.images import ImageError, Images
from ansible.module_utils.livekit_deploy.release import records

from tests.unit.module_utils.archive import config, contents, digest, save

REPOSITORY = "r.test:5000/worker"
ONE, TWO, THREE = (f"{REPOSITORY}@sha256:{n * 64}" for n in "123")
TAG = f"{REPOSITORY}:1"
LOGINS = [{"address": "r.test:5000", "username": "lab", "password": "word"}]


class Engine:
    """``has`` maps the references of the host to image ids, ``registry`` those that can be pulled; an id ``…arm`` is
    for another architecture. A pulled tag brings its digest along, as with Docker."""

    def __init__(self, **registry: str) -> None:
        self.has: dict[str, str] = {}
        self.registry = {TAG: "id-1", ONE: "id-1", TWO: "id-2", THREE: "id-arm", **registry}
        self.used: list[str] = []
        self.commands: list[list[str]] = []

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        self.commands.append(list(argv))
        match list(argv):
            case ["env", _, *rest]:
                return self(rest)
            case ["docker", "image", "inspect", *_, reference]:
                found = self.has.get(reference) or (reference if reference in self.has.values() else "")
                return (0, json.dumps(self.inspected(found)), "") if found else (1, "", "No such image")
            case ["docker", "image", "ls", *_]:
                return 0, "\n".join(one for one in self.has if "@" in one), ""
            case ["docker", "version", *_]:
                return 0, "linux/amd64\n", ""
            case ["docker", "ps", *_]:
                return 0, "\n".join(self.used), ""
            case ["docker", "inspect", *_]:
                return 0, json.dumps([{"Image": image} for image in self.used]), ""
        why = self.change(list(argv))
        return (1, "", why) if why else (0, "", "")

    def change(self, argv: list[str]) -> str:
        """Why it cannot be done; empty when it was."""
        match argv:
            case ["docker", "pull", *_, reference] if reference in self.registry:
                self.has[reference] = self.registry[reference]
                self.has |= {
                    one: two for one, two in self.registry.items() if two == self.registry[reference] and "@" in one
                }
            case ["docker", "pull", *_]:
                return "Error response from daemon: unauthorized: authentication required"
            case ["docker", "tag", old, new]:
                self.has[new] = self.has.get(old, old)
            case ["docker", "image", "rm", reference]:
                return "" if self.has.pop(reference, None) else "No such image"
            case ["docker", "load", *_, path]:
                (manifest,) = contents(Path(path))["manifest.json"]
                self.has[manifest["RepoTags"][0]] = f"sha256:{manifest['Config'].removesuffix('.json')}"
        return ""

    def inspected(self, image_id: str) -> dict[str, Any]:
        architecture = "arm64" if image_id.endswith("arm") else "amd64"
        known = [one for one, found in self.has.items() if found == image_id and "@" in one]
        return {"Id": image_id, "Os": "linux", "Architecture": architecture, "RepoDigests": known}

    def asked(self, *start: str) -> list[list[str]]:
        return [c for c in self.commands if c[: len(start)] == list(start)]


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def on_host(engine: Engine, tmp_path: Path) -> Images:
    (tmp_path / "app").mkdir()
    return Images(engine, tmp_path / "app")


# --- from registries -------------------------------------------------------------------------------------------------


def test_what_the_host_lacks_is_pulled(on_host: Images, engine: Engine) -> None:
    engine.has[ONE] = "id-1"
    assert on_host.fetch([ONE, TWO, TWO]) == [TWO]
    assert [c[-1] for c in engine.asked("docker", "pull")] == [TWO]


def test_what_was_pulled_is_noted_and_what_was_there_is_not(on_host: Images, engine: Engine) -> None:
    engine.has[ONE] = "id-1"
    on_host.fetch([ONE, TWO])
    assert on_host.brought() == [TWO]


def test_pull_is_logged_in_where_a_login_is_given(on_host: Images, engine: Engine) -> None:
    on_host.fetch([ONE], LOGINS)
    assert [c[2:4] for c in engine.asked("env")] == [["docker", "pull"]]


def test_refused_login_is_a_sentence_with_the_user(on_host: Images) -> None:
    with pytest.raises(ImageError, match=r"refuses lab for r\.test:5000/gone:1"):
        on_host.fetch(["r.test:5000/gone:1"], LOGINS)


def test_image_for_another_architecture_is_refused(on_host: Images) -> None:
    with pytest.raises(
        ImageError, match=r"is for linux/arm64, expected linux/amd64.*docker buildx build --platform linux/amd64"
    ):
        on_host.fetch([ONE, THREE])


def test_image_for_another_architecture_that_is_there_is_refused_too(on_host: Images, engine: Engine) -> None:
    engine.has[THREE] = "id-arm"
    with pytest.raises(ImageError, match="is for linux/arm64"):
        on_host.fetch([THREE])


@pytest.mark.parametrize(
    ("its", "mine", "refused"),
    [
        ("linux/amd64", "linux/amd64", False),
        ("linux/arm64", "linux/amd64", True),
        ("linux/386", "linux/amd64", False),
        ("linux/amd64", "linux/arm64", True),
        ("windows/amd64", "linux/amd64", True),
        ("linux/", "linux/amd64", False),
        ("linux/amd64", "", False),
    ],
)
def test_platform_has_to_be_the_engines(its: str, mine: str, refused: bool) -> None:
    system, _, architecture = its.partition("/")
    assert bool(images.platform_trouble("i", {"Os": system, "Architecture": architecture}, mine)) is refused


# --- resolving a tag -------------------------------------------------------------------------------------------------


def test_tag_is_resolved_and_noted_with_its_digest(on_host: Images) -> None:
    assert on_host.resolve(TAG) == (ONE, True)
    assert on_host.brought() == sorted([TAG, ONE])


def test_tag_of_somebody_else_points_to_what_it_did_and_is_not_noted(on_host: Images, engine: Engine) -> None:
    engine.has[TAG] = "theirs"
    assert on_host.resolve(TAG) == (ONE, True)
    assert engine.has[TAG] == "theirs"
    assert on_host.brought() == [ONE]


def test_tag_of_ours_follows_the_registry(on_host: Images, engine: Engine) -> None:
    on_host.resolve(TAG)
    engine.registry |= {TAG: "id-2"}
    assert on_host.resolve(TAG) == (TWO, True)
    assert engine.has[TAG] == "id-2"


def test_tag_that_means_the_same_brings_nothing(on_host: Images, engine: Engine) -> None:
    engine.has |= {TAG: "id-1", ONE: "id-1"}
    assert on_host.resolve(TAG) == (ONE, False)
    assert on_host.brought() == []


# --- from archives ---------------------------------------------------------------------------------------------------

CONTENT = config("one")
NAME = image_archive.own_name("app", digest(CONTENT))
ID = f"sha256:{digest(CONTENT)}"


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Any]:
    return {NAME: image_archive.read_archive(save(tmp_path / "worker.tar", {"worker:1": CONTENT}), "worker:1")}


def sent(on_host: Images, known: dict[str, Any]) -> dict[str, Any]:
    for one in on_host.to_send(known):
        shutil.copy(one["path"], one["destination"])
    return known


def test_archive_is_to_be_sent_where_its_image_lacks(
    on_host: Images, engine: Engine, known: dict[str, Any], tmp_path: Path
) -> None:
    where = tmp_path / f"app/images/{digest(CONTENT)}.tar"
    assert on_host.to_send(known) == [{"path": str(tmp_path / "worker.tar"), "destination": str(where)}]
    engine.has[NAME] = ID
    assert on_host.to_send(known) == []


def test_archive_is_loaded_under_our_name_and_no_other_tag_is_touched(
    on_host: Images, engine: Engine, known: dict[str, Any]
) -> None:
    engine.has["worker:1"] = "theirs"
    assert on_host.fetch([NAME], (), sent(on_host, known)) == [NAME]
    assert engine.has == {"worker:1": "theirs", NAME: ID}
    assert on_host.brought() == [NAME]


def test_nothing_of_what_was_sent_stays(on_host: Images, known: dict[str, Any]) -> None:
    on_host.fetch([NAME], (), sent(on_host, known))
    assert list(on_host.directory.glob("*.tar")) == []


def test_nothing_of_what_was_sent_stays_after_a_failure(on_host: Images, known: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        on_host.fetch(["r.test:5000/gone:1", NAME], (), sent(on_host, known))
    assert list(on_host.directory.glob("*.tar")) == []


def test_image_that_the_host_has_under_another_name_gets_ours(
    on_host: Images, engine: Engine, known: dict[str, Any]
) -> None:
    engine.has["worker:1"] = ID
    assert on_host.to_send(known) == []
    assert on_host.fetch([NAME], (), known) == [NAME]
    assert engine.has[NAME] == ID


def test_image_with_the_id_of_the_containerd_image_store_is_accepted(
    on_host: Images, engine: Engine, known: dict[str, Any]
) -> None:
    engine.has[NAME] = "sha256:manifest"
    known[NAME]["ids"].append("sha256:manifest")
    assert on_host.fetch([NAME], (), known) == []


def test_image_with_another_id_after_the_load_is_refused_and_removed(
    on_host: Images, engine: Engine, known: dict[str, Any]
) -> None:
    sent(on_host, known)
    known[NAME]["ids"] = ["sha256:other"]
    with pytest.raises(ImageError, match=f"was loaded as {ID}, expected sha256:other"):
        on_host.fetch([NAME], (), known)
    assert engine.has == {}


def test_archive_that_was_not_sent_is_a_sentence(on_host: Images, known: dict[str, Any]) -> None:
    with pytest.raises(ImageError, match=r"which the run sends\. Run again"):
        on_host.fetch([NAME], (), known)


def test_image_of_an_archive_that_is_gone_is_never_asked_of_a_registry(on_host: Images, engine: Engine) -> None:
    with pytest.raises(ImageError, match="Deploy from the archive again"):
        on_host.fetch([NAME])
    assert engine.asked("docker", "pull") == []


def test_image_of_an_archive_that_is_kept_needs_no_archive(on_host: Images, engine: Engine) -> None:
    engine.has[NAME] = ID
    assert on_host.fetch([NAME]) == []


# --- pruning ---------------------------------------------------------------------------------------------------------


def test_image_that_no_release_needs_is_removed_without_force(on_host: Images, engine: Engine) -> None:
    on_host.fetch([ONE, TWO])
    assert on_host.prune([TWO]) == [ONE]
    assert engine.has == {TWO: "id-2"}
    assert engine.asked("docker", "image", "rm") == [["docker", "image", "rm", ONE]]


def test_image_that_we_did_not_bring_stays(on_host: Images, engine: Engine) -> None:
    engine.has[ONE] = "id-1"
    on_host.fetch([ONE, TWO])
    assert on_host.prune([]) == [TWO]
    assert engine.has == {ONE: "id-1"}


def test_image_that_a_container_has_stays_until_it_is_gone(on_host: Images, engine: Engine) -> None:
    on_host.fetch([ONE])
    engine.used = ["id-1"]
    assert on_host.prune([]) == []
    engine.used = []
    assert on_host.prune([]) == [ONE]


def test_image_that_is_needed_keeps_its_tag_too(on_host: Images) -> None:
    on_host.resolve(TAG)
    assert on_host.prune([ONE]) == []
    assert on_host.prune([]) == [TAG, ONE]


def test_tag_that_somebody_moved_since_stays(on_host: Images, engine: Engine) -> None:
    on_host.resolve(TAG)
    engine.has[TAG] = "theirs"
    assert on_host.prune([]) == [ONE]
    assert engine.has == {TAG: "theirs"}
    assert on_host.brought() == []


def test_image_that_somebody_removed_is_forgotten(on_host: Images, engine: Engine) -> None:
    on_host.fetch([ONE])
    engine.has.clear()
    assert (on_host.prune([]), on_host.brought()) == ([], [])


def test_image_that_docker_does_not_let_go_is_tried_again(
    on_host: Images, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_host.fetch([ONE])
    refuses = {"rm": True}
    monkeypatch.setattr(
        on_host, "run", lambda argv: (1, "", "conflict") if refuses["rm"] and "rm" in argv else engine(argv)
    )
    assert on_host.prune([]) == []
    refuses["rm"] = False
    assert on_host.prune([]) == [ONE]


def test_what_a_failed_pull_noted_is_forgotten(on_host: Images) -> None:
    with pytest.raises(ImageError):
        on_host.fetch(["r.test:5000/gone:1"])
    assert on_host.brought() == ["r.test:5000/gone:1"]
    assert (on_host.prune([]), on_host.brought()) == ([], [])


def test_host_where_nothing_was_brought_is_not_asked(on_host: Images, engine: Engine) -> None:
    assert on_host.prune([ONE]) == []
    assert engine.commands == []


def test_images_of_all_applications_are_needed(tmp_path: Path) -> None:
    for app, record in (("one", {"images": {"fastapi": ONE}}), ("two", {"images": {"fastapi": TWO}}), ("three", {})):
        known = {"id": "20260101T000000Z-00000001", "app": app, "state": "retired", "agent_name": "a", "api_port": 1}
        directory = tmp_path / app / "releases" / str(known["id"])
        directory.mkdir(parents=True)
        (directory / "release.json").write_text(json.dumps({**known, **record}))
    assert set(records.recorded_images(tmp_path)) == {ONE, TWO}
