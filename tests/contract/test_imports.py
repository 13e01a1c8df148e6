"""The order of the packages in ``module_utils``: each imports only itself and those before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.imports import HOME, ON_CONTROLLER, ON_HOSTS, ORDER, imported, package_of, shipped

LIBRARY = HOME.parents[1] / "library"
FILES = [path for path in sorted(HOME.rglob("*.py")) if path.parent != HOME]


def against_the_order(path: Path, text: str | None = None) -> list[str]:
    place = ORDER.index(package_of(path))
    return [str(other.relative_to(HOME)) for other in imported(path, text) if ORDER.index(package_of(other)) > place]


def test_every_package_has_its_place() -> None:
    assert {package_of(path) for path in FILES} == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(HOME)) for path in FILES])
def test_a_package_imports_only_those_before_it(path: Path) -> None:
    assert against_the_order(path) == []


@pytest.mark.parametrize("module", ["agent_release", "agent_release_plan", "agent_removal"])
def test_what_a_step_on_a_host_ships_is_of_the_hosts_half(module: str) -> None:
    packages = {package_of(path) for path in shipped(LIBRARY / f"{module}.py") if path.is_relative_to(HOME)}
    assert packages - {""} <= set(ON_HOSTS)


@pytest.mark.parametrize("name", ["adoption", "begin", "notes", "plan", "refusal", "regain", "removal"])
def test_a_step_ships_nothing_that_only_the_first_one_or_a_removal_needs(name: str) -> None:
    assert HOME / f"release/{name}.py" not in shipped(LIBRARY / "agent_release.py")


@pytest.mark.parametrize("package", ORDER)
def test_a_package_itself_imports_nothing(package: str) -> None:
    """It is shipped with each of its files."""
    assert list(imported(HOME / package / "__init__.py")) == []


# --- the searches can fail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["from ..proof import probes", "from ..fleet.report import Report", "def f():\n    from ..play import owner"],
)
def test_import_against_the_order_is_found(text: str) -> None:
    assert len(against_the_order(HOME / "release/records.py", text)) == 1


def test_half_of_the_controller_comes_last() -> None:
    assert ORDER[-len(ON_CONTROLLER) :] == ON_CONTROLLER
