"""What runs on a managed host is written for the oldest Python of a supported one: 3.10, of Ubuntu 22.04."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.contract.imports import PACKAGE, shipped

ROOT = Path(__file__).resolve().parents[2]
OLDEST = (3, 10)
# Names of the standard library that are newer, as they are imported or reached.
NEWER = {
    *(
        "datetime.UTC",
        "enum.StrEnum",
        "enum.verify",
        "asyncio.timeout",
        "asyncio.TaskGroup",
        "asyncio.Runner",
        "hashlib.file_digest",
    ),
    *(
        "typing.Self",
        "typing.Never",
        "typing.LiteralString",
        "typing.Required",
        "typing.NotRequired",
        "typing.assert_never",
    ),
    *(
        "typing.override",
        "typing.reveal_type",
        "typing.Unpack",
        "typing.TypeAliasType",
        "contextlib.chdir",
        "itertools.batched",
    ),
    *("operator.call", "math.cbrt", "math.exp2", "math.sumprod", "sys.exception", "logging.getLevelNamesMapping"),
    *(
        "collections.abc.Buffer",
        "calendar.Month",
        "inspect.markcoroutinefunction",
        "warnings.deprecated",
        "copy.replace",
    ),
}
NEWER_MODULES = {"tomllib", "wsgiref.types", "annotationlib", "string.templatelib", "compression"}
NEWER_METHODS = {"walk", "is_junction", "add_note", "full_match", "from_uri"}


def on_hosts() -> set[str]:
    """The modules that run on a host: of which some task is neither delegated to the controller nor in a play of it."""
    names = {path.stem for path in (ROOT / "library").glob("*.py")}
    files = [
        *(ROOT / "roles").glob("*/tasks/*.yml"),
        *(ROOT / "roles").glob("*/handlers/*.yml"),
        *(ROOT / "playbooks").glob("*.yml"),
    ]
    tasks = [task for file in files for task in tasks_of(yaml.safe_load(file.read_text()))]
    return {name for task in tasks for name in names & task.keys() if task.get("delegate_to") != "localhost"}


def tasks_of(node: object) -> Iterator[dict[str, object]]:
    if isinstance(node, list):
        for one in node:
            yield from tasks_of(one)
    elif isinstance(node, dict) and node.get("hosts") != "localhost":
        yield node
        for value in node.values():
            yield from tasks_of(value) if isinstance(value, list) else ()


def newer(text: str) -> list[str]:
    """What in a module needs a newer Python; its syntax is an error of its own."""
    tree = ast.parse(text, feature_version=OLDEST)
    aliases = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names: list[str] = list(aliases.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute):
            whose = ast.unparse(node.value)
            names += [
                f"{aliases.get(whose, whose)}.{node.attr}",
                *([f".{node.attr}"] if node.attr in NEWER_METHODS else []),
            ]
        elif isinstance(node, ast.TryStar):
            names.append("except*")
    wanted = NEWER | NEWER_MODULES | {"except*"} | {f".{name}" for name in NEWER_METHODS}
    # ast.walk and os.walk are old; the method of a path is not.
    return sorted(
        {name for name in names if name in wanted} - ({".walk"} if {"os.walk", "ast.walk"} & set(names) else set())
    )


FILES = sorted({path for name in on_hosts() for path in shipped(ROOT / "library" / f"{name}.py")})


def test_modules_of_hosts_are_found() -> None:
    """Without any the next test would prove nothing."""
    assert {"agent_release", "docker_engine_info", "nginx_site", "livekit_server_log_info"} <= {
        path.stem for path in FILES
    }
    assert {"store", "times", "lock"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_what_runs_on_a_host_needs_no_newer_python(path: Path) -> None:
    assert newer(path.read_text()) == []


OWN_MODULES = [path for path in FILES if path.parent.name == "library"]


@pytest.mark.parametrize("path", OWN_MODULES, ids=[path.stem for path in OWN_MODULES])
def test_older_python_gets_as_far_as_the_refusal(path: Path) -> None:
    """ansible-core runs modules with 3.9: each must be read by it, and import what refuses it before anything new."""
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    froms = [str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)]
    ours = [module.startswith(PACKAGE) for module in froms]
    assert any(ours)
    before = set(froms[: ours.index(True)]) - {
        "__future__",
        "collections.abc",
        "contextlib",
        "pathlib",
        "typing",
        "ansible.module_utils.basic",
    }
    assert before == set()


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_what_runs_on_a_host_needs_python_and_ansible_only(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    assert {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"ansible"} == set()


# --- the search can fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from datetime import UTC", ["datetime.UTC"]),
        ("import datetime as d\nd.UTC", ["datetime.UTC"]),
        ("import tomllib", ["tomllib"]),
        ("from enum import StrEnum", ["enum.StrEnum"]),
        ("import asyncio\nasyncio.timeout(1)", ["asyncio.timeout"]),
        ("path.walk()", [".walk"]),
        ("import os\nos.walk('.')", []),
        ("from datetime import timezone\nmatch 1:\n  case 1: pass", []),
    ],
)
def test_a_newer_name_is_found(text: str, found: list[str]) -> None:
    assert newer(text) == found


@pytest.mark.parametrize("text", ["def f[T](x: T) -> T: ...", "type X = int", "try: pass\nexcept* OSError: pass"])
def test_a_newer_syntax_is_found(text: str) -> None:
    with pytest.raises(SyntaxError):
        newer(text)
