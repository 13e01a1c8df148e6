"""Files are replaced and read without following what somebody put in their place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible.module_utils.livekit_deploy.common.files import open_regular, read_text, write_atomically


def test_link_in_place_of_the_partial_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / ".a.partial").symlink_to(tmp_path / "victim")
    write_atomically(tmp_path / "a", "new")
    assert ((tmp_path / "victim").read_text(), (tmp_path / "a").read_text(), (tmp_path / "a").is_symlink()) == (
        "kept",
        "new",
        False,
    )


def test_partial_file_of_a_killed_run_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").write_text("half of a longer text")
    write_atomically(tmp_path / "a", "new", 0o640)
    assert ((tmp_path / "a").read_text(), (tmp_path / "a").stat().st_mode & 0o777) == ("new", 0o640)


@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_only_a_regular_file_is_read_and_nothing_is_waited_for(tmp_path: Path, kind: str) -> None:
    path = {"pipe": tmp_path / "pipe", "directory": tmp_path, "device": Path("/dev/zero")}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    assert read_text(path) is None
    with pytest.raises(OSError, match="no regular file"):
        open_regular(path)


def test_text_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a\r\nb\n")
    assert (read_text(tmp_path / "a"), read_text(tmp_path / "none")) == ("a\r\nb\n", None)
    with open_regular(tmp_path / "a") as file:
        assert file.read() == b"a\r\nb\n"
