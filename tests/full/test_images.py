"""Images: from a registry with login and authority of its own, from an archive, removed when no release has them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import APP, ROOT, Lab, Machine, Run, as_root, docker, text_of

NAME = "staging-1"
ARCHIVED, PUSHED = "sidekick-api-archived:1", "sidekick-worker:of-the-private-registry"
OF_SOMEBODY = (ARCHIVED, "somebody/kept:1")
WRONG = "not-the-password-of-the-lab"
# Where a login could be left; every file that root has may be read.
PLACES = "/opt /run /root /home /tmp /var/tmp /etc/docker /var/lib/docker/tmp /var/log"


@dataclass(frozen=True)
class Story:
    """What was tried one after the other on one host, and what it had before and after."""

    unknown_authority: Run
    refused: Run
    served: Run
    again: Run
    other_architecture: Run
    returned: Run
    commands: str
    left: str
    tags: dict[str, dict[str, str]]
    containers: dict[str, list[str]]
    states: dict[str, dict[str, Any]]
    references: dict[str, list[str]]


@dataclass(frozen=True)
class Private:
    """The registry of the lab that wants a login, and how a host gets in."""

    address: str
    authority: str
    username: str
    password: str

    def login(self, password: str = "") -> dict[str, Any]:
        entry = {"address": self.address, "username": self.username, "password": password or self.password}
        return {"agent_release_registries": [entry]}


def private_of(lab: Lab) -> Private:
    found = lab.document["private_registry"]
    return Private(found["address"], (ROOT / found["ca"]).read_text(), found["username"], found["password"])


def images_of(lab: Lab) -> dict[str, str]:
    variables = json.loads(lab.inventory.read_text())["all"]["vars"]
    return {name: str(variables[name]).partition("/")[2] for name in ("livekit_agent_image", "agent_api_image")}


def tags_of(machine: Machine) -> dict[str, str]:
    """The tags that somebody else has on the host, with the ids of the images."""
    return {tag: machine.sh(f"docker image inspect --format '{{{{.Id}}}}' {tag}", check=False) for tag in OF_SOMEBODY}


def references_of(machine: Machine) -> list[str]:
    return machine.sh("docker image ls --digests --format '{{.Repository}}:{{.Tag}}@{{.Digest}}'").splitlines()


@contextmanager
def commands_of(machine: Machine, found: list[str]) -> Iterator[None]:
    """Every command line that is seen on the host meanwhile, many times a second."""
    look = "while sleep 0.05; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; echo; done"
    watcher = machine.sh(f"nohup sh -c {json.dumps(look)} >/tmp/commands 2>/dev/null </dev/null & echo $!")
    try:
        yield
    finally:
        found.append(machine.sh(f"kill {watcher}; grep -a 'docker' /tmp/commands; rm -f /tmp/commands", check=False))


def save_empty(path: Path, tag: str, architecture: str) -> Path:
    """An archive of docker save with an image for an architecture that holds one empty file."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as inside:
        inside.addfile(tarfile.TarInfo("empty"))
    diff_id = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    config = json.dumps(
        {"os": "linux", "architecture": architecture, "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [tag], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as archive:
        for file, data in ((name, config), ("layer.tar", layer.getvalue()), ("manifest.json", manifest)):
            member = tarfile.TarInfo(file)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def made(base: str, tag: str) -> str:
    """An image like another one that is not the same."""
    return text_of(
        [*as_root(), "docker", "build", "--quiet", "--tag", tag, "-"], input=f"FROM {base}\nLABEL test={tag}\n"
    )


@pytest.fixture(scope="module")
def pushed(lab: Lab) -> Iterator[str]:
    """A worker's image that hosts get from the private registry only; pushed to the other, which has the same store."""
    address = docker("port", "lkad-registry", "5000").splitlines()[0]
    made(f"lkad/{images_of(lab)['livekit_agent_image']}", f"{address}/{PUSHED}")
    docker("push", "--quiet", f"{address}/{PUSHED}")
    yield PUSHED
    docker("image", "rm", f"{address}/{PUSHED}")


@pytest.fixture(scope="module")
def archive(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An API's image that no registry has."""
    made(f"lkad/{images_of(lab)['agent_api_image']}", ARCHIVED)
    path = tmp_path_factory.mktemp("archive") / "api.tar"
    docker("save", "--output", str(path), ARCHIVED)
    text_of([*as_root(), "chmod", "0644", str(path)])
    yield path
    docker("image", "rm", ARCHIVED)


@pytest.fixture(scope="module")
def story(
    deployed: Lab, first: Machine, archive: Path, pushed: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    private, commands = private_of(deployed), list[str]()
    worker = {"livekit_agent_image": f"{private.address}/{pushed}"}
    api = {"agent_api_image": ARCHIVED, "agent_release_image_archives": {ARCHIVED: str(archive)}}
    change = {**worker, **api, **private.login(), "agent_release_keep": 1}
    # Somebody else's tags: one of the archive's name, one that nobody runs.
    first.sh(f"docker tag $(docker ps -q --no-trunc | head -n 1 | xargs docker inspect -f '{{{{.Image}}}}') {ARCHIVED}")
    first.sh(f"docker tag {ARCHIVED} {OF_SOMEBODY[1]}")
    states, tags, references = {"before": first.state()}, {"before": tags_of(first)}, dict[str, list[str]]()

    def play(playbook: str = "deploy.yml", **extra_vars: Any) -> Run:
        return deployed.play(playbook, limit=NAME, extra_vars=extra_vars)

    unknown_authority = play(**worker, **private.login())
    certificates = {private.address: private.authority}
    assert play("playbooks/provision.yml", docker_host_registry_certificates=certificates).rc == 0
    refused = play(**worker, **private.login(WRONG))
    states["refused"] = first.state()
    with commands_of(first, commands):
        served = play(**change)
    # On standard input: sudo notes its arguments.
    left = text_of(first.ssh(f"grep -rlFf - {PLACES}"), check=False, input=f"{private.password}\n{auth_of(private)}\n")
    left += first.sh("ls -d /run/livekit-agent-deploy-login.*", check=False)
    tags["served"], references["served"], states["served"] = tags_of(first), references_of(first), first.state()
    containers = {"served": [container.image for container in first.containers()]}
    again = play(**change)
    wrong = save_empty(tmp_path_factory.mktemp("wrong") / "worker.tar", "sidekick-worker-wrong:1", "s390x")
    archives = {ARCHIVED: str(archive), "sidekick-worker-wrong:1": str(wrong)}
    of_wrong = {"livekit_agent_image": "sidekick-worker-wrong:1", "agent_release_image_archives": archives}
    other_architecture = play(**{**change, **of_wrong})
    states["other architecture"] = first.state()
    returned = play(agent_release_keep=0)
    tags["returned"], references["returned"] = tags_of(first), references_of(first)
    yield Story(
        unknown_authority, refused, served, again, other_architecture, returned,
        "\n".join(commands), left, tags, containers, states, references,
    )  # fmt: skip
    first.sh(f"docker image rm {' '.join(OF_SOMEBODY)}; rm -r /etc/docker/certs.d/{private.address}")


def auth_of(private: Private) -> str:
    """What Docker's configuration has for a login."""
    return text_of(["base64", "--wrap=0"], input=f"{private.username}:{private.password}")


# --- trouble ---------------------------------------------------------------------------------------------------------


def test_registry_whose_authority_is_not_known_is_told_with_the_variable(story: Story, lab: Lab) -> None:
    address = private_of(lab).address
    assert story.unknown_authority.rc != 0
    assert (
        f"the certificate of the registry {address} is signed by an authority that this host does not know"
        in story.unknown_authority.reason(NAME)
    )
    assert "docker_host_registry_certificates" in story.unknown_authority.reason(NAME)


def test_login_that_the_registry_refuses_is_told_with_user_and_variable(story: Story, lab: Lab) -> None:
    private = private_of(lab)
    assert story.refused.rc != 0
    assert f"the registry {private.address} refuses {private.username} for " in story.refused.reason(NAME)
    assert "expected: a login that may pull it. Correct username and password" in story.refused.reason(NAME)
    assert WRONG not in story.refused.transcript


def test_image_for_another_architecture_is_told_with_the_command(story: Story) -> None:
    assert story.other_architecture.rc != 0
    assert "is for linux/s390x, expected linux/" in story.other_architecture.reason(NAME)
    assert "docker buildx build --platform linux/" in story.other_architecture.reason(NAME)


@pytest.mark.parametrize(("before", "after"), [("before", "refused"), ("served", "other architecture")])
def test_what_is_refused_leaves_everything_as_it_was(story: Story, before: str, after: str) -> None:
    assert story.states[after] == story.states[before]


def test_archive_that_is_not_there_is_told_and_leaves_everything_as_it_was(deployed: Lab, first: Machine) -> None:
    before = first.state()
    archives = {ARCHIVED: "/nowhere/api.tar"}
    run = deployed.play(
        "deploy.yml", limit=NAME, extra_vars={"agent_api_image": ARCHIVED, "agent_release_image_archives": archives}
    )
    assert run.rc != 0
    assert f"found: no file /nowhere/api.tar for {ARCHIVED}, expected an archive on the controller" in run.reason(NAME)
    assert f"docker save --output /nowhere/api.tar {ARCHIVED}" in run.reason(NAME)
    assert first.state() == before


# --- with login and from an archive ----------------------------------------------------------------------------------


def test_release_serves_from_the_private_registry_and_from_the_archive(story: Story, lab: Lab) -> None:
    worker, api = story.containers["served"]
    assert story.served.rc == 0, story.served.stdout
    assert worker.startswith(f"{private_of(lab).address}/sidekick-worker@sha256:")
    assert api.startswith(f"livekit-agent-deploy/{APP}:")


def test_login_is_in_no_output_no_command_and_no_file(story: Story, lab: Lab) -> None:
    private = private_of(lab)
    assert private.password not in story.served.transcript
    assert f"docker pull --quiet {private.address}/" in story.commands, "no pull was seen, so this proves nothing"
    assert private.password not in story.commands
    assert auth_of(private) not in story.commands
    assert story.left == ""


def test_archive_of_the_same_image_changes_nothing(story: Story) -> None:
    assert (story.again.rc, story.again.changed) == (0, {}), story.again.stdout


def test_image_has_the_id_that_the_archive_says(story: Story) -> None:
    _worker, api = story.containers["served"]
    local = docker("image", "inspect", "--format", "{{.Id}}", ARCHIVED)
    assert api == f"livekit-agent-deploy/{APP}:{local.removeprefix('sha256:')}"


def test_nothing_of_the_archive_stays_on_the_host(story: Story, first: Machine) -> None:
    assert story.served.rc == 0
    assert first.sh(f"find /opt/{APP}/images /home/deploy/.ansible -size +100k", check=False) == ""


@pytest.mark.parametrize("when", ["served", "returned"])
def test_no_tag_of_somebody_else_is_moved_or_removed(story: Story, when: str) -> None:
    assert all(story.tags["before"].values())
    assert story.tags[when] == story.tags["before"]


# --- pruning ---------------------------------------------------------------------------------------------------------


def test_images_of_a_release_that_is_not_kept_are_removed(story: Story, lab: Lab) -> None:
    ours = (private_of(lab).address, f"livekit-agent-deploy/{APP}")
    assert [one for one in story.references["served"] if one.startswith(ours)]
    assert story.returned.rc == 0, story.returned.stdout
    assert [one for one in story.references["returned"] if one.startswith(ours)] == []
