"""Logins for one pull, certificates of registries, and what Docker's messages mean; the messages are real ones."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible.module_utils.livekit_deploy.machine import registry

ADDRESS = "10.0.0.5:5443"
IMAGE = f"{ADDRESS}/worker:1"
LOGIN = {"address": ADDRESS, "username": "lab", "password": "pass:word"}
HUB = {"address": "docker.io", "username": "me", "password": "word"}


@pytest.mark.parametrize(
    ("image", "address"),
    [
        ("worker:1", "docker.io"),
        ("me/worker:1", "docker.io"),
        ("docker.io/me/worker", "docker.io"),
        ("index.docker.io/me/worker", "docker.io"),
        ("localhost/worker", "localhost"),
        ("registry.test/worker", "registry.test"),
        ("registry:5000/a/b@sha256:1", "registry:5000"),
        (IMAGE, ADDRESS),
    ],
)
def test_registry_of_an_image_is_read_as_docker_reads_it(image: str, address: str) -> None:
    assert registry.registry_address(image) == address


class Docker:
    """What a command saw."""

    def __init__(self) -> None:
        self.argv: list[str] = []
        self.config: dict[str, str] = {}
        self.modes: list[int] = []

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        self.argv = list(argv)
        if argv[0] == "env":
            path = Path(argv[1].removeprefix("DOCKER_CONFIG="))
            self.config = json.loads((path / "config.json").read_text())["auths"]
            self.modes = [one.stat().st_mode & 0o777 for one in (path, path / "config.json")]
        return 0, "", ""


def pull(image: str, parent: Path) -> Docker:
    docker = Docker()
    with registry.logged_in(docker, image, [LOGIN, HUB], parent) as run:
        run(["docker", "pull", image])
    assert list(parent.iterdir()) == []
    return docker


def test_login_is_in_a_file_for_its_owner_only_and_gone_afterwards(tmp_path: Path) -> None:
    docker = pull(IMAGE, tmp_path)
    assert base64.b64decode(docker.config[ADDRESS]["auth"]) == b"lab:pass:word"  # type: ignore[index]
    assert docker.modes == [0o700, 0o600]


def test_login_is_no_argument_of_a_command(tmp_path: Path) -> None:
    assert "word" not in " ".join(pull(IMAGE, tmp_path).argv)


def test_login_to_docker_hub_has_its_own_key(tmp_path: Path) -> None:
    assert list(pull("me/worker:1", tmp_path).config) == ["https://index.docker.io/v1/"]


def test_one_registry_is_never_given_the_login_of_another(tmp_path: Path) -> None:
    assert list(pull(IMAGE, tmp_path).config) == [ADDRESS]


def test_the_hosts_own_logins_count_for_a_registry_that_is_not_listed(tmp_path: Path) -> None:
    assert pull("registry.test/worker", tmp_path).argv == ["docker", "pull", "registry.test/worker"]


def test_login_is_gone_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), registry.logged_in(Docker(), IMAGE, [LOGIN], tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_login_that_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / f"{registry.PREFIX}{ended.pid}.x").mkdir()
    (tmp_path / f"{registry.PREFIX}{os.getpid()}.y").mkdir()
    registry.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{registry.PREFIX}{os.getpid()}.y"]


# --- certificates ----------------------------------------------------------------------------------------------------

CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUXpdv9pCkT+gUXqrPMhV9WMmoRxkwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPbGFiIHJlZ2lzdHJ5IENBMB4XDTI2MTEyNTE4NDkxOVoXDTI2
MTIyNTE4NDkxOVowGjEYMBYGA1UEAwwPbGFiIHJlZ2lzdHJ5IENBMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEQsdNnuLTiZ1pw1wNk9oIiYo3aEPbbXcrHpZM6NOu
/vgbCzci0gmciupAgEsNs2lpNmB/SEpLWQIemhPZXa7aa6NTMFEwHQYDVR0OBBYE
FMP6srpX9z41fQiz7OHqSb8vlHI0MB8GA1UdIwQYMBaAFMP6srpX9z41fQiz7OHq
Sb8vlHI0MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAMVDqM67
J53ysVVcZXagUh9FD1+fT8lAMV65tTvKxyUGAiB87HwkQLspP3omIxlAeTrK+0wB
y1IBFecbyNdTwER3Cg==
-----END CERTIFICATE-----
"""


@pytest.mark.parametrize("text", [CERTIFICATE, CERTIFICATE * 2, f"# ours\n{CERTIFICATE}"])
def test_certificates_are_accepted(text: str) -> None:
    assert registry.certificate_trouble(ADDRESS, text) == ""


@pytest.mark.parametrize(
    ("address", "text", "words"),
    [
        (ADDRESS, "", "no certificate"),
        (ADDRESS, "/etc/ssl/our-ca.crt", "no certificate"),
        (ADDRESS, CERTIFICATE.replace("MIIB", "XXXX"), "no certificate"),
        (ADDRESS, CERTIFICATE.replace("ours", "ö") + "ö", "no certificate"),
        (ADDRESS, "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----", "a private key"),
        ("https://registry.test", CERTIFICATE, "expected host or host:port"),
        ("../registry", CERTIFICATE, "expected host or host:port"),
        ("..", CERTIFICATE, "expected host or host:port"),
    ],
)
def test_what_is_no_certificate_of_a_registry_is_a_sentence(address: str, text: str, words: str) -> None:
    assert words in registry.certificate_trouble(address, text)


# --- what Docker says ------------------------------------------------------------------------------------------------

DAEMON = "Error response from daemon: "
MESSAGES = [
    (
        'Get "https://ADDRESS/v2/": x509: certificate signed by unknown authority',
        "unknown authority",
        "docker_host_registry_certificates",
    ),
    (
        'Get "https://ADDRESS/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority',
        "does not know",
        "PEM text",
    ),
    (
        'failed to resolve reference "IMAGE": failed to do request: Head "https://ADDRESS/v2/worker/manifests/1": tls: '
        "failed to verify certificate: x509: certificate signed by unknown authority",
        "does not know",
        "docker_host_registry_certificates",
    ),
    (
        'Get "https://ADDRESS/v2/": x509: certificate has expired or is not yet valid: current time …',
        "is not accepted",
        "Renew it",
    ),
    (
        'Get "https://ADDRESS/v2/": x509: certificate is valid for 10.0.0.6, not 10.0.0.5',
        "is not accepted",
        "as its certificate does",
    ),
    (
        'Get "https://ADDRESS/v2/": http: server gave HTTP response to HTTPS client',
        "speaks HTTP",
        "docker_host_insecure_registries",
    ),
    (
        'Get "https://ADDRESS/v2/": dial tcp: lookup registry.test on 10.0.0.1:53: no such host',
        "is not resolved",
        "Correct the image's name",
    ),
    ('Get "https://ADDRESS/v2/": dial tcp 10.0.0.5:5443: connect: connection refused', "does not reach", "Start it"),
    (
        'Get "https://ADDRESS/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded)',
        "does not reach",
        "Start it",
    ),
    ('Get "https://ADDRESS/v2/": dial tcp 10.0.0.5:5443: connect: no route to host', "does not reach", "open the way"),
    ('Get "https://ADDRESS/v2/": net/http: TLS handshake timeout', "does not reach", "open the way"),
    (
        'Head "https://ADDRESS/v2/worker/manifests/1": no basic auth credentials',
        "no one without a login",
        "to agent_release_registries",
    ),
    ("unauthorized: authentication required", "no one without a login", "to agent_release_registries"),
    (
        'Head "https://ADDRESS/v2/worker/manifests/1": unauthorized: incorrect username or password',
        "without a login",
        "agent_release_registries",
    ),
    (
        'Head "https://ADDRESS/v2/worker/manifests/1": denied: requested access to the resource is denied',
        "without a login",
        "with username",
    ),
    (
        "pull access denied for me/worker, repository does not exist or may require 'docker login': denied: requested "
        "access to the resource is denied",
        "without a login",
        "or correct the image's name",
    ),
    (
        "unexpected status from HEAD request to https://ADDRESS/v2/worker/manifests/1: 401 Unauthorized",
        "without a login",
        "with username",
    ),
    (
        "unexpected status from HEAD request to https://ADDRESS/v2/worker/manifests/1: 403 Forbidden",
        "without a login",
        "with username",
    ),
    ("manifest for IMAGE not found: manifest unknown: manifest unknown", "no image IMAGE", "Push it"),
    ('failed to resolve reference "IMAGE": IMAGE: not found', "no image IMAGE", "Push it"),
    ("repository worker not found: name unknown: repository name not known to registry", "no image IMAGE", "Push it"),
    (
        "no matching manifest for linux/arm64/v8 in the manifest list entries",
        "another architecture",
        "--platform linux/arm64",
    ),
    ("toomanyrequests: You have reached your pull rate limit.", "no more requests", "Wait, or log in"),
    ("write /var/lib/docker/tmp/GetImageBlob1: no space left on device", "no space left", "docker image prune"),
    ("`docker pull --quiet` did not end in time (900 s). ", "was not there in time", "Raise it"),
    ("something that nobody has seen yet", "no image IMAGE (something that", "Push it"),
]


@pytest.mark.parametrize(("message", "found", "remedy"), MESSAGES)
def test_message_of_docker_is_told_with_what_to_do(message: str, found: str, remedy: str) -> None:
    told = registry.pull_trouble(
        IMAGE, DAEMON + message.replace("ADDRESS", ADDRESS).replace("IMAGE", IMAGE), platform="linux/arm64"
    )
    assert told.startswith("found: ")
    assert found.replace("IMAGE", IMAGE) in told
    assert ", expected: " in told
    assert remedy in told
    assert DAEMON not in told


def test_refused_login_names_user_and_registry_and_where_to_correct_it() -> None:
    told = registry.pull_trouble(IMAGE, f"{DAEMON}unauthorized: authentication required", "lab")
    assert told.startswith(f"found: the registry {ADDRESS} refuses lab for {IMAGE} (unauthorized")
    assert f"Correct username and password of {ADDRESS} in agent_release_registries" in told


def test_name_of_an_image_is_no_evidence() -> None:
    image = f"{ADDRESS}/denied/worker:1"
    assert f"found: no image {image}" in registry.pull_trouble(
        image, f"manifest for {image} not found: manifest unknown"
    )


def test_message_with_braces_is_told_as_it_is() -> None:
    assert '{"errors":[]}' in registry.pull_trouble(IMAGE, 'unauthorized: {"errors":[]}')
