"""docs/your-application.md, done as it says: a second application with two workers, on a host that serves another."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import ROOT, Lab, Machine, lab_command, text_of, wait_for

PAGE = (ROOT / "docs/your-application.md").read_text()
FILES = dict(re.findall(r"`(inventory/[\w/.-]+\.yml)`[^\n]*:\n\n```yaml\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
CLERK, GREETER = "desk-01", "desk-01-greeter"
APPS = ("frontdesk", "frontdesk-greeter")
# What a shell, Compose or a log would make something else of.
KEY = f"desk'\"$HOME\\ {secrets.token_hex(8)}"
CONNECTION = """
ansible_ssh_common_args: "-F {ssh_config}"
livekit_url_allow_insecure: true
agent_api_ports: [18111, 18112]
docker_host_insecure_registries: ["{registry}"]
agent_release_allow_tags: true
"""


@dataclass(frozen=True)
class Reader:
    """Somebody who does what the page says, with a host, a server and a registry of their own."""

    lab: Lab
    machine: Machine
    directory: Path
    said: dict[str, str]

    def run(self, command: str) -> str:
        """One line of the page; the answer to its question for the vault's password is in a file."""
        mine = command.replace("inventory/frontdesk", str(self.directory)).replace(" -J ", " ")
        reports = {"LIVEKIT_DEPLOY_REPORTS": str(self.directory / "reports")}
        password = {"ANSIBLE_VAULT_PASSWORD_FILE": str(self.directory / "password")}
        environment = {**os.environ, **self.lab.environment, **reports, **password}
        done = subprocess.run(
            ["bash", "-c", mine], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        self.lab.check(said, said)
        self.said[command] = said
        return said

    def report(self, name: str) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.directory / "reports" / f"{name}.json").read_text())
        return report

    def check(self, host: str, name: str) -> dict[str, Any]:
        return next(check for check in self.report("deploy")["hosts"][host]["checks"] if check["name"] == name)

    def container(self, app: str, service: str) -> dict[str, Any]:
        found = [c for c in self.machine.containers() if c.project.startswith(f"{app}-2") and c.service == service]
        assert len(found) == 1, found
        return dict(found[0].inspected)


def written(lab: Lab, directory: Path) -> None:
    registry, livekit = lab.document["registry"], lab.document["livekit"]
    image = f"{registry}/{lab_command('frontdesk').splitlines()[0]}"
    mine = {
        "192.0.2.11": lab.machines[0].address,
        "wss://livekit.example.com": livekit["url"],
        f"registry.example.com/frontdesk@sha256:{'0' * 64}": image,
        "vault_livekit_api_key: CHANGE_ME": f"vault_livekit_api_key: {livekit['api_key']}",
        "vault_livekit_api_secret: CHANGE_ME": f"vault_livekit_api_secret: {livekit['api_secret']}",
        "vault_desk_key: CHANGE_ME": f"vault_desk_key: {json.dumps(KEY)}",
    }
    for name, text in FILES.items():
        path = directory / Path(name).relative_to("inventory/frontdesk")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        for theirs, ours in mine.items():
            text = text.replace(theirs, ours)
        path.write_text(text)
    lab_values = CONNECTION.format(ssh_config=ROOT / lab.document["ssh_config"], registry=registry)
    (directory / "group_vars/all.yml").write_text(lab_values)
    (directory / "password").write_text(secrets.token_hex(16))


def leave(machine: Machine) -> None:
    """Take the application off the host again, its volume too."""
    for app in APPS:
        machine.sh(
            f"docker ps -aq --filter name=^{app}-2 | xargs -r docker rm -f; "
            f"docker network ls -q --filter name=^{app}-2 | xargs -r docker network rm; "
            f"rm -rf /opt/{app} /etc/nginx/livekit-agent-deploy/{app}.* "
            f"/etc/nginx/conf.d/livekit-agent-deploy-{app}.conf"
        )
    machine.sh("docker volume rm -f recordings; systemctl reload nginx")


@pytest.fixture(scope="module")
def before(deployed: Lab) -> list[tuple[str, str]]:
    return deployed.machines[0].identities()


@pytest.fixture(scope="module")
def reader(deployed: Lab, before: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    assert before  # read before anything of the page is done
    directory = tmp_path_factory.mktemp("frontdesk")
    written(deployed, directory)
    reader = Reader(deployed, deployed.machines[0], directory, {})
    try:
        for command in COMMANDS:
            reader.run(command)
        yield reader
    finally:
        leave(deployed.machines[0])


def test_the_page_has_files_and_commands() -> None:
    assert [Path(name).name for name in FILES] == ["hosts.yml", "vars.yml", "clerks.yml", "greeters.yml", "vault.yml"]
    assert [re.findall(r"[\w-]+\.yml", command)[-1] for command in COMMANDS] == [
        "vault.yml",
        "provision.yml",
        "deploy.yml",
        "deploy.yml",
        "verify.yml",
    ]


def test_the_vault_is_encrypted(reader: Reader) -> None:
    assert (reader.directory / "group_vars/agent_hosts/vault.yml").read_text().startswith("$ANSIBLE_VAULT;")


def test_the_dry_run_says_what_would_be_released(reader: Reader) -> None:
    (dry,) = [said for command, said in reader.said.items() if "dry_run" in command]
    assert "frontdesk-clerk-desk-01" in dry


@pytest.mark.parametrize("host", [CLERK, GREETER])
@pytest.mark.parametrize("report", ["deploy", "verify"])
def test_each_worker_gets_the_jobs_of_its_name(reader: Reader, host: str, report: str) -> None:
    row = reader.report(report)["hosts"][host]
    assert (row["verdict"], [check for check in row["checks"] if not check["ok"]]) == ("exclusive", [])


def test_a_caller_gets_a_clerk_that_does_its_work(reader: Reader) -> None:
    check = reader.check(CLERK, "preview")
    assert check["ok"], check
    assert "'looked up the opening hours' within 5 s" in check["found"]


def test_what_has_no_api_is_not_checked_for_a_preview(reader: Reader) -> None:
    assert reader.check(GREETER, "preview")["found"] == "not checked: the release has no API"


def test_the_key_reached_the_container_byte_for_byte(reader: Reader) -> None:
    environment = reader.container("frontdesk", "fastapi")["Config"]["Env"]
    assert f"DESK_KEY={KEY}" in environment


def test_the_key_is_in_no_output(reader: Reader) -> None:
    reports = " ".join(path.read_text() for path in (reader.directory / "reports").iterdir())
    assert KEY.split()[-1] not in reports + " ".join(reader.said.values())


def test_command_volume_and_other_keys_are_those_of_the_inventory(reader: Reader) -> None:
    clerk = reader.container("frontdesk", "agent-worker")
    assert clerk["Config"]["Cmd"] == ["python3", "clerk.py", "start"]
    assert clerk["HostConfig"]["ShmSize"] == 256 * 2**20
    assert [m["Name"] for m in clerk["Mounts"] if m["Destination"] == "/recordings"] == ["recordings"]


def test_the_host_has_one_release_of_each_worker_and_one_api(reader: Reader) -> None:
    projects = {(re.sub(r"-\d{8}t\d{6}z-[0-9a-f]{8}$", "", c.project), c.service) for c in reader.machine.containers()}
    assert {("frontdesk", "fastapi"), ("frontdesk", "agent-worker"), ("frontdesk-greeter", "agent-worker")} <= projects
    assert ("frontdesk-greeter", "fastapi") not in projects


def test_a_call_for_the_other_worker_reaches_it(reader: Reader) -> None:
    headers = ["--header", "Host: desk.example.com", "--header", f"X-Desk-Key: {KEY}"]
    body = json.dumps({"language": "en", "greeter": True})
    text_of(["curl", "--silent", "--fail", *headers, "--data", body, f"http://{reader.machine.address}/calls"])
    greeter = reader.container("frontdesk-greeter", "agent-worker")["Id"]
    assert "desk-" in wait_for(reader.machine, f"docker logs {greeter}", '"room": "desk-', seconds=10)


def test_a_second_deployment_changes_nothing(reader: Reader) -> None:
    said = reader.run(next(command for command in COMMANDS if command.endswith("deploy.yml")))
    assert re.findall(r"changed=(\d+)", said) == ["0"] * len(re.findall(r"changed=", said))


def test_the_other_application_was_not_touched(reader: Reader, before: list[tuple[str, str]]) -> None:
    assert [one for one in before if one not in reader.machine.identities()] == []
