"""The README's words hold: files it names are there, commands it gives work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
LINKS = sorted(set(re.findall(r"\]\(([^)#]+)\)", README)))
PLAYBOOKS = sorted(
    set(re.findall(r"\b((?:playbooks/)?\w+\.yml)\b", README)) - {"hosts.yml", "vault.yml", "compose.yml", "release.yml"}
)
CHECKS = re.findall(r"^\| `(\w+)` \| ", README, re.MULTILINE)
MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py"))
BIN = Path(sys.executable).parent


@pytest.mark.parametrize("link", [link for link in LINKS if "://" not in link])
def test_linked_file_is_there(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_named_playbook_is_there(playbook: str) -> None:
    assert (ROOT / playbook).is_file() or (ROOT / "playbooks" / playbook).is_file()


def test_readme_names_playbooks_and_links() -> None:
    """Without any the two tests above would prove nothing."""
    assert len(PLAYBOOKS) >= 3
    assert len(LINKS) >= 4


def test_every_check_of_a_verification_is_explained() -> None:
    from ansible.module_utils.livekit_deploy.proof.judge import judge

    report = judge({"a": {"agent_name": "n"}}, {})["report"]["a"]
    assert {check["name"] for check in report["checks"]} <= set(CHECKS)


@pytest.mark.parametrize("module", MODULES)
def test_ansible_doc_shows_the_module(module: str) -> None:
    done = subprocess.run(
        [BIN / "ansible-doc", "-t", "module", "-M", "library", module],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert module in done.stdout


def test_example_inventory_is_refused_as_documentation(tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "ansible-playbook", "-i", "inventory/example/hosts.yml", "deploy.yml"],
        cwd=ROOT,
        env={**os.environ, "LIVEKIT_DEPLOY_REPORTS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "Nothing is configured" in done.stdout
