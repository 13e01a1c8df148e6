"""Each role's defaults, argument specs and README against each other, and what ansible-doc shows of them; the last part
shows that each test can fail."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ROLES = sorted(path for path in (ROOT / "roles").glob("*") if path.is_dir())
# What belongs to no single role: the server, and who is who on it. All are described in inventory/example.
SHARED = {
    "agent_release_app",
    "livekit_url",
    "livekit_url_allow_insecure",
    "livekit_api_url",
    "livekit_api_key",
    "livekit_api_secret",
    "livekit_server_nodes",
    "livekit_server_log_unit",
    "livekit_server_log_container",
    "livekit_server_log_path",
    "livekit_agent_name",
    "livekit_agent_shared_name",
    "livekit_agent_pool",
    "livekit_agent_image",
    "agent_api_image",
    "agent_release_allow_tags",
}
# The two services of a release, whose variables are the user's.
SERVICES = {"agent_release": ("livekit_agent_", "agent_api_")}
each_role = pytest.mark.parametrize("role", ROLES, ids=[role.name for role in ROLES])


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def documented(role: Path) -> dict[str, Any]:
    """The options of all entry points of the role."""
    specs = read(role / "meta" / "argument_specs.yml").get("argument_specs") or {}
    return {name: option for spec in specs.values() for name, option in (spec.get("options") or {}).items()}


def differences(defaults: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in defaults.items():
        if name not in options:
            yield f"{name} is not in meta/argument_specs.yml"
        elif "default" not in options[name]:
            yield f"{name} has no default in meta/argument_specs.yml, defaults/main.yml has {value!r}"
        elif options[name]["default"] != value or type(options[name]["default"]) is not type(value):
            yield f"{name} is {options[name]['default']!r} in meta/argument_specs.yml, {value!r} in defaults/main.yml"
    for name, option in options.items():
        if "default" in option and name not in defaults:
            yield f"{name} has a default in meta/argument_specs.yml only"
        if not option.get("description") or not option.get("type"):
            yield f"{name} has no description or no type"
        if option.get("required") and "default" in option:
            yield f"{name} is required and has a default"


def foreign(names: Iterator[str] | Mapping[str, Any], role: str) -> list[str]:
    """Names that neither start with the role's name nor are shared."""
    prefixes = (f"{role}_", *SERVICES.get(role, ()))
    return [name for name in names if not name.startswith(prefixes) and name not in SHARED]


def uncommented(defaults: str) -> list[str]:
    """The variables without a comment in the line before."""
    return re.findall(r"(?:\A|\n)(?!#)[^\n]*\n([a-z]\w*):", defaults)


def tasks_in(data: Any) -> Iterator[dict[str, Any]]:
    """Every task of a file, also those in blocks."""
    for task in data or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks_in(task.get(part))


def test_no_package_of_a_host_is_removed_for_ours() -> None:
    tasks = [task for path in ROOT.glob("roles/*/tasks/*.yml") for task in tasks_in(yaml.safe_load(path.read_text()))]
    installing = [task for task in tasks if "ansible.builtin.apt" in task]
    assert len(installing) >= 3
    assert [
        task["name"] for task in installing if task["ansible.builtin.apt"].get("fail_on_autoremove") is not True
    ] == []


@each_role
def test_entry_points_are_described(role: Path) -> None:
    specs = read(role / "meta" / "argument_specs.yml").get("argument_specs") or {}
    assert "main" in specs
    assert [name for name, spec in specs.items() if not spec.get("short_description")] == []


@each_role
def test_each_entry_point_has_its_tasks(role: Path) -> None:
    specs = read(role / "meta" / "argument_specs.yml").get("argument_specs") or {}
    assert [name for name in specs if not (role / "tasks" / f"{name}.yml").exists()] == []


@each_role
def test_defaults_and_argument_specs_say_the_same(role: Path) -> None:
    assert list(differences(read(role / "defaults" / "main.yml"), documented(role))) == []


@each_role
def test_variables_start_with_the_name_of_the_role(role: Path) -> None:
    assert foreign({**read(role / "defaults" / "main.yml"), **documented(role)}, role.name) == []


@each_role
def test_private_variables_start_with_two_underscores(role: Path) -> None:
    names = read(role / "vars" / "main.yml")
    assert [name for name in names if not name.startswith(f"__{role.name}_")] == []


@each_role
def test_each_default_has_its_line(role: Path) -> None:
    path = role / "defaults" / "main.yml"
    assert uncommented(path.read_text() if path.exists() else "") == []


@pytest.mark.parametrize("role", ["docker_host", "api_proxy", "preflight"])
def test_what_is_something_by_itself_has_a_molecule_scenario(role: str) -> None:
    assert (ROOT / "roles" / role / "molecule/default/molecule.yml").is_file()


# --- what ansible-doc shows ------------------------------------------------------------------------------------------


def ansible_doc(*options: str) -> str:
    """What `ansible-doc` says of all roles, in one call; one that it does not find it leaves out in silence."""
    command = [str(BIN / "ansible-doc"), "-t", "role", "-r", "roles", *options, *(role.name for role in ROLES)]
    settings = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    return dict(json.loads(ansible_doc("--json")))


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return pages_of(ansible_doc())


def pages_of(text: str) -> dict[str, str]:
    """The text of each role, by its name."""
    parts = re.split(r"^> ROLE: \W*(\w+).*$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def unseen(options: Mapping[str, Any], page: str) -> list[str]:
    """The options that a page does not begin a paragraph with."""
    return [name for name in options if not re.search(rf"^\W*{re.escape(name)}\b", page, flags=re.MULTILINE)]


def main_of(role: Path) -> dict[str, Any]:
    return dict(read(role / "meta" / "argument_specs.yml")["argument_specs"]["main"])


@each_role
def test_ansible_doc_knows_the_role_as_it_is_described(role: Path, shown: dict[str, Any]) -> None:
    main = shown[role.name]["entry_points"]["main"]
    assert main["short_description"] == main_of(role)["short_description"]
    assert main["options"] == main_of(role)["options"]


@each_role
def test_ansible_doc_shows_each_option_to_a_reader(role: Path, pages: dict[str, str]) -> None:
    assert unseen(main_of(role)["options"], pages[role.name]) == []


# --- each comparison can fail ----------------------------------------------------------------------------------------

KEEP = {"type": "int", "description": "How many are kept.", "default": 3}


def test_equal_defaults_have_no_difference() -> None:
    required = {"type": "str", "description": "Its name.", "required": True}
    assert list(differences({"sample_keep": 3}, {"sample_keep": KEEP, "sample_name": required})) == []


@pytest.mark.parametrize(
    ("defaults", "option", "words"),
    [
        ({}, KEEP, "has a default in meta/argument_specs.yml only"),
        ({"sample_keep": 4}, KEEP, "is 3 in meta/argument_specs.yml, 4 in defaults/main.yml"),
        ({"sample_keep": "3"}, KEEP, "is 3 in meta/argument_specs.yml, '3' in defaults/main.yml"),
        ({"sample_keep": 3}, {**KEEP, "description": ""}, "has no description or no type"),
        ({"sample_keep": 3}, {**KEEP, "required": True}, "is required and has a default"),
        ({"sample_keep": 3}, {"type": "int", "description": "Kept."}, "has no default in meta/argument_specs.yml"),
    ],
)
def test_a_wrong_argument_spec_is_found(defaults: dict[str, Any], option: dict[str, Any], words: str) -> None:
    (found,) = differences(defaults, {"sample_keep": option})
    assert words in found


def test_an_undocumented_default_is_found() -> None:
    assert list(differences({"sample_keep": 3}, {})) == ["sample_keep is not in meta/argument_specs.yml"]


def test_a_variable_of_another_role_is_found() -> None:
    assert foreign({"sample_keep": 1, "other_keep": 2, "livekit_url": ""}, "sample") == ["other_keep"]


def test_a_default_without_a_line_is_found() -> None:
    assert uncommented("---\n# How many.\nsample_keep: 3\nsample_name: a\n\nsample_path: b\n") == [
        "sample_name",
        "sample_path",
    ]


def test_an_option_that_ansible_doc_does_not_show_is_found() -> None:
    texts = (
        "> ROLE: *a* (/a)\n\nOptions (= indicates it is required):\n\n= a_keep  Kept.\n",
        "> ROLE: *b* (/b)\n- b_name  As a_keep.\n- b_name_all  All.\n",
    )
    found = pages_of("".join(texts))
    assert list(found) == ["a", "b"]
    assert unseen({"a_keep": {}, "a_name": {}}, found["a"]) == ["a_name"]
    assert unseen({"b_name": {}, "b_all": {}, "a_keep": {}}, found["b"]) == ["b_all", "a_keep"]
