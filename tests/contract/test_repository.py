"""What holds for the whole tree: targets that exist, and nothing that is true on one machine only."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Written in parts, so that this file does not hold what it looks for.
INDEX_HOSTS = [
    ".".join(name) for name in (("pypi", "org"), ("files", "pythonhosted", "org"), ("proxy", "golang", "org"))
]
INDEX_OPTIONS = re.compile(r"^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b|https?://", re.MULTILINE)
MACHINE_PATH = re.compile(r"(?<![\w.~$}/-])/(work|Users|workspace)/\w")
PUBLIC = {"", "localhost", "127.0.0.1"}
INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "GOPROXY")


def tracked() -> list[Path]:
    """What git has or would take, as text files."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    paths = [ROOT / name for name in names if name]
    return sorted(path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:1024])


def configured_index_hosts() -> list[str]:
    """The hosts this very machine fetches packages from: the likeliest to slip into a lock file."""
    urls = [url for name in INDEX_VARIABLES for url in re.split(r"[\s,|]+", os.environ.get(name, ""))]
    home = Path(os.environ.get("HOME", "/nonexistent"))
    for path in (Path("/etc/pip.conf"), home / ".config/pip/pip.conf", home / ".pip/pip.conf"):
        parser = configparser.RawConfigParser(strict=False)
        parser.read(path)
        urls += [parser.get("global", key, fallback="") for key in ("index-url", "extra-index-url")]
    return sorted({urlsplit(url.strip()).hostname or "" for url in urls} - PUBLIC)


def named_hosts(text: str, hosts: Iterable[str]) -> list[str]:
    return [host for host in hosts if re.search(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", text)]


def make_targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*)\s*:(?!=)", makefile, re.MULTILINE))


def named_targets(text: str) -> set[str]:
    """`make …` in code spans and in code blocks."""
    return set(re.findall(r"(?:`|^\s*(?:\$ )?)make ([a-z][\w-]*)", text, re.MULTILINE))


FILES = tracked()
LOCKS = [path for path in FILES if re.match(r"requirements.*/.*\.txt$|.*requirements.*\.txt$|.*\.lock$", str(path))]
GUIDES = [path for path in FILES if path.suffix == ".md"]


def named(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", GUIDES, ids=named(GUIDES))
def test_make_targets_a_guide_names_exist(path: Path) -> None:
    makefile = ROOT / "Makefile"
    targets = make_targets(makefile.read_text()) if makefile.exists() else set()
    assert named_targets(path.read_text()) - targets == set()


@pytest.mark.parametrize("path", LOCKS, ids=named(LOCKS))
def test_a_lock_file_names_no_index(path: Path) -> None:
    assert INDEX_OPTIONS.search(path.read_text()) is None


@pytest.mark.parametrize("path", FILES, ids=named(FILES))
def test_a_file_names_no_index_host_and_no_path_of_one_machine(path: Path) -> None:
    text = path.read_text(errors="replace")
    assert named_hosts(text, [*INDEX_HOSTS, *configured_index_hosts()]) == []
    assert MACHINE_PATH.search(text) is None


# --- each search can fail --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["--index-url x", "-i x", "--extra-index-url x", "--find-links x", "a @ https://x/a.whl"]
)
def test_an_index_in_a_lock_file_is_found(line: str) -> None:
    assert INDEX_OPTIONS.search(f"a==1 \\\n    --hash=sha256:0\n{line}\n")


def test_a_lock_file_without_an_index_is_accepted() -> None:
    assert INDEX_OPTIONS.search("aiohttp==1 \\\n    --hash=sha256:0\n    # via -r dev.in\n") is None


def test_an_index_host_is_found_as_a_whole_name() -> None:
    host = INDEX_HOSTS[0]
    assert named_hosts(f"see https://{host}/simple", INDEX_HOSTS) == [host]
    assert named_hosts(f"see https://{host}-mirror", INDEX_HOSTS) == []


def test_the_index_this_machine_uses_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://mirror.corp.test:8080/simple")
    assert "mirror.corp.test" in configured_index_hosts()


def test_a_path_of_one_machine_is_found() -> None:
    assert MACHINE_PATH.search("see /" + "Users/me/project")
    assert MACHINE_PATH.search("cd '/" + "work/main'")
    assert MACHINE_PATH.search(f"build/{'work'}/x and ~/{'work'}/x") is None


def test_a_missing_make_target_is_found() -> None:
    targets = make_targets(".PHONY: demo\nname := x\ndemo: lab\n\t./demo\nlab-down:\n")
    assert targets == {"demo", "lab-down"}
    assert named_targets("`make demo`, then\n\n    make gone\n\nWe make lab work.") - targets == {"gone"}
