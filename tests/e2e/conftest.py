"""The lab, provisioned once for all end-to-end tests."""

from __future__ import annotations

import sys
from pathlib import Path

import ansible.module_utils
import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
# Where the modules find the project's own code.
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

from tests.e2e.harness import Lab, Machine, open_lab  # noqa: E402  the path comes first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Two provisioned hosts. What they serve is left from whatever ran before: see `serving` and `deployed`."""
    return open_lab(tmp_path_factory.mktemp("e2e"))


@pytest.fixture(scope="session")
def serving(lab: Lab) -> Lab:
    """Both hosts serve something: the inventory's release, or what an earlier module left."""
    run = lab.play("deploy.yml")
    assert run.rc == 0, run.stdout
    return lab


@pytest.fixture(scope="module")
def deployed(serving: Lab) -> Lab:
    """Both hosts serve exactly what the lab's inventory says."""
    if serving.varied & {machine.name for machine in serving.machines}:
        run = serving.play("deploy.yml")
        assert run.rc == 0, run.stdout
    return serving


@pytest.fixture(scope="session")
def first(lab: Lab) -> Machine:
    return lab.machines[0]


@pytest.fixture(scope="session")
def second(lab: Lab) -> Machine:
    return lab.machines[1]
