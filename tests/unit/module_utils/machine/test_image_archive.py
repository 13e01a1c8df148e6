"""Which image of an archive is meant, by which ids it is known, and what is loaded of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory import archives
from ansible.module_utils.livekit_deploy.machine import image_archive
from ansible.module_utils.livekit_deploy.play import images
from ansible.module_utils.livekit_deploy.play.run import HostRun

from tests.unit.module_utils.archive import config, contents, digest, save, write

ONE, TWO = config("one"), config("two")
BOTH = {"worker:1": ONE, "worker:2": TWO}


def id_of(content: bytes) -> str:
    return f"sha256:{digest(content)}"


def trouble(path: Path, image: str = "worker:1") -> str:
    with pytest.raises(image_archive.ArchiveError) as raised:
        image_archive.read_archive(path, image)
    return str(raised.value)


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("compression", ["", "gz"])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_an_image_is_known_by_the_hash_of_its_configuration(
    tmp_path: Path, index: bool, compression: str, prefix: str
) -> None:
    path = save(tmp_path / "a", BOTH, index=index, compression=compression, prefix=prefix)
    assert image_archive.read_archive(path, "worker:2")["id"] == id_of(TWO)


def test_the_only_image_of_an_archive_is_meant_whatever_it_is_called(tmp_path: Path) -> None:
    assert image_archive.read_archive(save(tmp_path / "a", {"other:3": ONE}), "worker:1")["id"] == id_of(ONE)


@pytest.mark.parametrize("image", ["worker:2", "docker.io/worker:2", "docker.io/library/worker:2"])
def test_an_image_is_found_by_each_way_to_write_its_name(tmp_path: Path, image: str) -> None:
    assert image_archive.read_archive(save(tmp_path / "a", BOTH), image)["id"] == id_of(TWO)


def test_a_name_without_a_tag_is_the_latest(tmp_path: Path) -> None:
    assert image_archive.read_archive(save(tmp_path / "a", {"worker:1": ONE, "worker:latest": TWO}), "worker")[
        "id"
    ] == id_of(TWO)


def test_an_older_archive_gives_one_id(tmp_path: Path) -> None:
    assert image_archive.read_archive(save(tmp_path / "a", BOTH), "worker:1")["ids"] == [id_of(ONE)]


def test_an_archive_with_an_index_gives_the_id_of_the_containerd_image_store_too(tmp_path: Path) -> None:
    found = image_archive.read_archive(save(tmp_path / "a", BOTH, index=True), "worker:1")
    assert found["ids"] == [id_of(ONE), *found["tops"]]
    assert len(found["tops"]) == 1


def test_the_platform_is_told(tmp_path: Path) -> None:
    found = image_archive.read_archive(save(tmp_path / "a", {"worker:1": config("one", "arm64")}), "worker:1")
    assert found["platform"] == "linux/arm64"


def test_a_missing_archive_is_a_sentence(tmp_path: Path) -> None:
    told = trouble(tmp_path / "gone.tar")
    assert told.startswith(f"found: no file {tmp_path}/gone.tar for worker:1, expected an archive")
    assert "docker save --output" in told


@pytest.mark.parametrize("text", [b"", b"no archive", b"\x1f\x8bno archive"])
def test_what_is_no_archive_is_a_sentence(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a").write_bytes(text)
    assert "cannot be read as an archive" in trouble(tmp_path / "a")
    assert "\n" not in trouble(tmp_path / "a")


def test_a_compressed_archive_that_was_cut_off_is_a_sentence(tmp_path: Path) -> None:
    path = save(tmp_path / "a", BOTH, compression="gz")
    path.write_bytes(path.read_bytes()[:-40])
    assert "cannot be read as an archive" in trouble(path)


@pytest.mark.parametrize(
    "files", [{"etc/passwd": b"root"}, {"manifest.json": b'{"schemaVersion": 2}'}, {"manifest.json": b"[1]"}]
)
def test_an_archive_of_something_else_is_a_sentence(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert "has no manifest.json, expected an archive of docker save" in trouble(write(tmp_path / "a", files))


def test_an_archive_that_lacks_its_configuration_is_a_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "a", {"manifest.json": b'[{"Config": "x.json", "RepoTags": null, "Layers": []}]'})
    assert "lacks x.json, expected a whole archive" in trouble(path)


def test_an_archive_without_the_image_names_those_it_has(tmp_path: Path) -> None:
    assert "found: worker:1, worker:2 in " in trouble(save(tmp_path / "a", BOTH), "worker:3")


@pytest.mark.parametrize("index", [False, True])
def test_what_is_loaded_has_one_image_and_no_tag_of_the_archive(tmp_path: Path, index: bool) -> None:
    path = save(tmp_path / "a", BOTH, index=index, compression="gz")
    image_archive.only(path, tmp_path / "b", image_archive.read_archive(path, "worker:2"), "livekit-agent-deploy/app:2")
    (manifest,) = contents(tmp_path / "b")["manifest.json"]
    assert manifest["RepoTags"] == ["livekit-agent-deploy/app:2"]
    assert digest(TWO) in manifest["Config"]
    assert "worker" not in str(contents(tmp_path / "b"))
    assert image_archive.read_archive(tmp_path / "b", "any:1")["id"] == id_of(TWO)


def test_what_is_loaded_is_for_its_owner_only(tmp_path: Path) -> None:
    path = save(tmp_path / "a", BOTH)
    image_archive.only(path, tmp_path / "b", image_archive.read_archive(path, "worker:2"), "livekit-agent-deploy/app:2")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600


# --- of an inventory -------------------------------------------------------------------------------------------------

ANSWER = "__agent_release_archives_read"


def variables(**more: Any) -> dict[str, Any]:
    images = {"livekit_agent_image": "worker:1", "agent_api_image": "r/api@sha256:1"}
    return {**images, "agent_release_image_archives": {"worker:1": "/a.tar", "unused:1": "/b.tar"}, **more}


def fact(**changes: Any) -> dict[str, Any]:
    return {
        "image": "worker:1",
        "path": "/a.tar",
        "id": "sha256:ab",
        "ids": ["sha256:ab"],
        "config": "ab.json",
        "tops": [],
        **changes,
    }


def test_an_archive_is_read_once_for_all_hosts_and_only_where_its_image_is_used() -> None:
    assert archives.wanted_archives({"a": variables(), "b": variables()}, ["a", "b"]) == [
        {"image": "worker:1", "path": "/a.tar"}
    ]


def test_a_relative_path_is_from_where_the_playbook_is_started() -> None:
    hostvars = {"a": variables(agent_release_image_archives={"worker:1": "b/a.tar"})}
    assert archives.wanted_archives(hostvars, ["a"]) == [{"image": "worker:1", "path": str(Path.cwd() / "b/a.tar")}]


def test_home_that_nobody_knows_is_a_file_that_is_not_found() -> None:
    assert archives.at_home(Path("~nobody-of-that-name/a.tar")) == Path("~nobody-of-that-name/a.tar")


def test_an_archived_image_is_named_by_its_id() -> None:
    found = images.archived(HostRun("a", variables(**{ANSWER: {"archives": [fact()]}})), "app")
    assert found["images"] == {"worker:1": "livekit-agent-deploy/app:ab"}
    assert found["archives"]["livekit-agent-deploy/app:ab"]["path"] == "/a.tar"
    assert found["unread"] == ""


@pytest.mark.parametrize(
    ("answer", "unread"),
    [
        ({"archives": [{"image": "worker:1", "path": "/a.tar", "trouble": "found: no file"}]}, "found: no file"),
        ({"archives": [fact(path="/other.tar", trouble="of another host")]}, ""),
        ({"failed": True, "msg": "crashed"}, "crashed"),
        ({"skipped": True}, ""),
        ({}, "the image archives were not read"),
    ],
)
def test_what_could_not_be_read_is_told(answer: dict[str, Any], unread: str) -> None:
    found = images.archived(HostRun("a", variables(**{ANSWER: answer})), "app")
    assert (found["images"], found["unread"]) == ({}, unread)


def test_a_host_without_archives_needs_no_answer() -> None:
    run = HostRun("a", variables(agent_release_image_archives={}))
    assert images.archived(run, "app") == {"images": {}, "archives": {}, "unread": ""}
