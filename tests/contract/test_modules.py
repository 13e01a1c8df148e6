"""Each module's documentation against its code; the last part shows that each comparison can fail."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.livekit_deploy.common import answer
from ansible.plugins.loader import fragment_loader
from ansible.utils.plugin_docs import get_docstring

LIBRARY = Path(__file__).resolve().parents[2] / "library"
MODULES = sorted(LIBRARY.glob("*.py"))
DOCUMENTED_KEYS = ("type", "elements", "required", "default", "choices", "aliases")
UNSAID: dict[str, Any] = {"type": "str", "required": False, "choices": [], "aliases": []}
MUST_HIDE = re.compile(r"secret|password|passwd|token|private_key")
TASK_KEYWORDS = {
    *("name", "register", "when", "loop", "loop_control", "delegate_to", "run_once", "become", "no_log", "vars"),
    *("until", "retries", "delay", "changed_when", "failed_when", "check_mode", "diff", "notify", "tags"),
}
each_module = pytest.mark.parametrize("path", MODULES, ids=[path.stem for path in MODULES])


class SeenError(Exception):
    """Carries the arguments of AnsibleModule out of a module that was started to get them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.spec = dict(args[0] if args else kwargs["argument_spec"])
        self.check_mode = bool(kwargs.get("supports_check_mode", False))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"contract_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(path: Path, monkeypatch: pytest.MonkeyPatch) -> SeenError:
    """What the module passes to AnsibleModule when it runs."""

    def stop(*args: Any, **kwargs: Any) -> None:
        raise SeenError(*args, **kwargs)

    module = load(path)
    monkeypatch.setattr(module, "Module", stop)
    with pytest.raises(SeenError) as seen:
        module.main()
    return seen.value


def documentation(path: Path) -> dict[str, Any]:
    """As `ansible-doc` shows it, with what a module has from the fragments that several share."""
    fragment_loader.add_directory(str(LIBRARY.with_name("doc_fragments")))
    return dict(get_docstring(str(path), fragment_loader, is_module=True)[0])


def differences(documented: Mapping[str, Any], spec: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Where the documented options and the argument spec are not the same, also inside suboptions."""
    for name in sorted(documented.keys() ^ spec.keys()):
        yield f"{where}{name} is only in the {'documentation' if name in documented else 'code'}"
    for name in sorted(documented.keys() & spec.keys()):
        said, real = {**UNSAID, **documented[name]}, {**UNSAID, **spec[name]}
        for key in DOCUMENTED_KEYS:
            if said.get(key) != real.get(key):
                yield f"{where}{name}: {key} is documented as {said.get(key)!r}, the code has {real.get(key)!r}"
        if not documented[name].get("description"):
            yield f"{where}{name} has no description"
        yield from differences(said.get("suboptions") or {}, real.get("options") or {}, f"{where}{name}.")


def exposed(spec: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Options named like a secret that ansible-core would print."""
    for name, option in spec.items():
        if MUST_HIDE.search(name) and option.get("no_log") is not True:
            yield f"{where}{name}"
        if "choices" in option and option.get("no_log"):
            yield f"{where}{name} has choices: its value is printed when it is none of them"
        yield from exposed(option.get("options") or {}, f"{where}{name}.")


def wrong_arguments(arguments: Any, options: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Arguments of an example that the module does not have, and required ones that it lacks."""
    for item in arguments if isinstance(arguments, list) else [arguments]:
        if not isinstance(item, Mapping):
            continue  # a template: what it holds is known at run time only
        yield from (f"{where}{name} is no option" for name in item.keys() - options.keys())
        required = {name for name, option in options.items() if option.get("required")}
        yield from (f"{where}{name} is required" for name in required - item.keys())
        for name in item.keys() & options.keys():
            suboptions = options[name].get("suboptions")
            if suboptions:
                yield from wrong_arguments(item[name], suboptions, f"{where}{name}.")


def wrong_examples(examples: str, module: str, options: Mapping[str, Any]) -> Iterator[str]:
    tasks = [task for task in yaml.safe_load(examples) if module in task]
    if not tasks:
        yield f"no example uses {module}"
    for task in tasks:
        yield from wrong_arguments(task[module] or {}, options)
        yield from (f"{key} is no keyword of a task" for key in task.keys() - TASK_KEYWORDS - {module})


@each_module
def test_documentation_names_its_module_and_says_what_it_does(path: Path) -> None:
    documented = documentation(path)
    assert documented["module"] == path.stem
    assert documented["short_description"]
    assert documented["description"]


@each_module
def test_options_are_documented_as_they_are(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = documentation(path).get("options") or {}
    assert list(differences(options, started(path, monkeypatch).spec)) == []


@each_module
def test_each_answer_is_made_fit_to_leave(path: Path) -> None:
    module = load(path)
    assert module.Module is answer.Module
    assert hasattr(module.main, "__wrapped__")
    assert "AnsibleModule" not in path.read_text().partition('RETURN = r"""')[2]


@each_module
def test_no_secret_would_be_printed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(exposed(started(path, monkeypatch).spec)) == []


@each_module
def test_check_mode_is_documented_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    support = documentation(path)["attributes"]["check_mode"]["support"]
    assert (support in {"full", "partial"}) == started(path, monkeypatch).check_mode


@each_module
def test_a_module_that_only_reads_is_named_so_and_supports_check_mode(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not path.stem.endswith("_info") or started(path, monkeypatch).check_mode


@each_module
def test_examples_use_existing_options(path: Path) -> None:
    options = documentation(path).get("options") or {}
    assert list(wrong_examples(load(path).EXAMPLES, path.stem, options)) == []


@each_module
def test_each_returned_value_is_described(path: Path) -> None:
    returned = yaml.safe_load(load(path).RETURN) or {}
    assert [name for name, value in returned.items() if not {"description", "returned", "type"} <= value.keys()] == []


# --- each comparison can fail ----------------------------------------------------------------------------------------

SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "probes": {"type": "list", "elements": "dict", "options": {"name": {"type": "str", "required": True}}},
}
DOCS: dict[str, Any] = {
    "app": {"description": "The application.", "required": True, "type": "str"},
    "probes": {
        "description": "Probes.",
        "type": "list",
        "elements": "dict",
        "suboptions": {"name": {"description": "Name.", "type": "str", "required": True}},
    },
}


def changed(option: str, **changes: Any) -> dict[str, Any]:
    return {**DOCS, option: {**DOCS[option], **changes}}


def test_documentation_equal_to_the_code_has_no_difference() -> None:
    assert list(differences(DOCS, SPEC)) == []


@pytest.mark.parametrize(
    ("documented", "words"),
    [
        ({"app": DOCS["app"]}, "probes is only in the code"),
        ({**DOCS, "extra": {"description": "Gone."}}, "extra is only in the documentation"),
        (changed("app", type="path"), "app: type"),
        (changed("app", required=False), "app: required"),
        (changed("app", default="x"), "app: default"),
        (changed("app", choices=["x"]), "app: choices"),
        (changed("app", description=""), "app has no description"),
        (changed("probes", elements="str"), "probes: elements"),
        (changed("probes", suboptions={}), "probes.name is only in the code"),
        (changed("probes", suboptions={"name": {"description": "Name."}}), "probes.name: required"),
    ],
)
def test_a_wrong_documentation_is_found(documented: dict[str, Any], words: str) -> None:
    (found,) = differences(documented, SPEC)
    assert found.startswith(words)


def test_a_secret_without_no_log_is_found_at_any_depth() -> None:
    secret = {"type": "str", "no_log": True}
    assert list(exposed({"api_secret": secret, "server": {"options": {"token": secret}}})) == []
    assert list(exposed({"server": {"options": {"token": {"type": "str"}}}})) == ["server.token"]
    assert len(list(exposed({"api_secret": {**secret, "choices": ["a"]}}))) == 1


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ("- sample: {app: a, probes: [{name: n}]}", ""),
        ("- sample: {app: a, probes: '{{ probes }}'}", ""),
        ("- other: {app: a}", "no example uses sample"),
        ("- sample: {app: a, ap: b}", "ap is no option"),
        ("- sample: {}", "app is required"),
        ("- sample: {app: a, probes: [{name: n, nam: n}]}", "probes.nam is no option"),
        ("- sample: {app: a}\n  registre: x", "registre is no keyword of a task"),
    ],
)
def test_a_wrong_example_is_found(example: str, words: str) -> None:
    assert list(wrong_examples(example, "sample", DOCS)) == ([words] if words else [])


MODULE = """
DOCUMENTATION = "module: sample"
class Module: ...
def main():
    Module({"app": {"type": "str"}}, supports_check_mode=True)
"""


def test_the_argument_spec_is_read_from_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sample.py"
    path.write_text(MODULE)
    seen = started(path, monkeypatch)
    assert (seen.spec, seen.check_mode) == ({"app": {"type": "str"}}, True)
