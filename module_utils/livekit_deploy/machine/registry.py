# SPDX-License-Identifier: Apache-2.0
"""Image registries: whose an image is, how to log in for one command, and what Docker means when it cannot pull."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..common.files import write_atomically
from .command import Run

HUB, HUB_KEY = "docker.io", "https://index.docker.io/v1/"
HUB_NAMES = frozenset({HUB, "index.docker.io", "registry-1.docker.io"})
# host or host:port, as an image's name begins.
ADDRESS = re.compile(r"^([A-Za-z0-9][A-Za-z0-9.\-]*|\[[0-9a-fA-F:]+\])(:\d{1,5})?\Z")
# In memory only, where there is such a directory.
VOLATILE = Path("/run")
PREFIX = "livekit-agent-deploy-login."

# The options of the modules that pull.
OPTIONS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "address": {"type": "str", "required": True},
        "username": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
    },
}


def registry_address(image: str) -> str:
    """The registry of an image reference, as Docker reads it: a first part without dot and port is a name on Docker
    Hub.
    """
    first, slash, _rest = image.partition("/")
    is_address = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return HUB if not is_address or first in HUB_NAMES else first


# --- login -----------------------------------------------------------------------------------------------------------


def login_of(image: str, logins: Sequence[Mapping[str, str]]) -> Mapping[str, str] | None:
    wanted = registry_address(image)
    return next(
        (login for login in logins if login["address"] == wanted or (wanted == HUB and login["address"] in HUB_NAMES)),
        None,
    )


def config_of(login: Mapping[str, str]) -> str:
    """The text of a ``config.json`` with this one login."""
    key = HUB_KEY if login["address"] in HUB_NAMES else login["address"]
    auth = base64.b64encode(f"{login['username']}:{login['password']}".encode()).decode()
    return json.dumps({"auths": {key: {"auth": auth}}})


@contextmanager
def logged_in(run: Run, image: str, logins: Sequence[Mapping[str, str]], parent: Path = VOLATILE) -> Iterator[Run]:
    """A ``run`` that is logged in to the image's registry, where a login for it is given; else the host's own logins
    count, as before.
    """
    login = login_of(image, logins)
    if login is None:
        yield run
        return
    sweep(parent)
    directory = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}.", dir=parent if os.access(parent, os.W_OK) else None)
    try:
        write_atomically(Path(directory) / "config.json", config_of(login))
        yield lambda argv: run(["env", f"DOCKER_CONFIG={directory}", *argv])
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def sweep(parent: Path = VOLATILE) -> None:
    """Remove the logins of processes that were killed."""
    for path in parent.glob(f"{PREFIX}*"):
        if not Path("/proc", path.name.removeprefix(PREFIX).partition(".")[0]).exists():
            shutil.rmtree(path, ignore_errors=True)


# --- certificates ----------------------------------------------------------------------------------------------------


def certificate_trouble(address: str, text: str) -> str:
    """Why a text is not written as the authority of a registry's certificate; empty where nothing is wrong.

    Without the text.
    """
    told = "expected the PEM text of a certificate. Correct docker_host_registry_certificates"
    if not ADDRESS.match(address):
        expected = "expected host or host:port as the images name it. Correct it"
        return f"found: {address!r} in docker_host_registry_certificates, {expected}"
    if "PRIVATE KEY" in text:
        return f"found: a private key for the registry {address}, {told}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError, TypeError):
        return f"found: a text for the registry {address} that is no certificate, {told}"
    return ""


# --- what Docker says when it cannot pull ----------------------------------------------------------------------------

CORRECT_IT = "Push it, or correct livekit_agent_image and agent_api_image"
# Tried in turn: what Docker's message has, what that means, what is expected instead, what to do. Engines 20.10 to 28,
# both image stores.
TROUBLES = [
    (
        r"certificate signed by unknown authority",
        "the certificate of the registry {address} is signed by an authority that this host does not know",
        "one that it knows",
        (
            "Add the authority's certificate: docker_host_registry_certificates: {{'{address}': <PEM text>}}, then run "
            "playbooks/provision.yml"
        ),
    ),
    (
        r"x509: |tls: failed to verify",
        "the certificate of the registry {address} is not accepted",
        "a certificate that is valid today and for that name",
        "Renew it, or name the registry as its certificate does",
    ),
    (
        r"server gave HTTP response to HTTPS client",
        "the registry {address} speaks HTTP without TLS",
        "TLS, or that the Engine was told otherwise",
        "Give the registry a certificate, or add it to docker_host_insecure_registries and run playbooks/provision.yml",
    ),
    (
        r"no such host|[Nn]ame or service not known|server misbehaving|failure in name resolution",
        "the name of the registry {address} is not resolved on this host",
        "a name that the host's resolver knows",
        "Correct the image's name or the host's DNS, or deploy the image from a file with agent_release_image_archives",
    ),
    (
        r"connection refused|no route to host|network is unreachable|i/o timeout|deadline exceeded|Client\.Timeout"
        r"|handshake timeout|request canceled while waiting|connection reset",
        "this host does not reach the registry {address}",
        "that it answers",
        (
            "Start it, or open the way from this host to it; "
            "an image can also come from a file: agent_release_image_archives"
        ),
    ),
    (
        r"no matching manifest for|no match for platform",
        "{image} is for another architecture",
        "an image for this host's",
        "Build it for this one, too: docker buildx build --platform {platform} …",
    ),
    (
        r"toomanyrequests|429 Too Many Requests",
        "the registry {address} takes no more requests from here for now",
        "fewer of them",
        "Wait, or log in with agent_release_registries",
    ),
    (
        r"unauthorized|denied|no basic auth credentials|401 Unauthorized|403 Forbidden|insufficient_scope"
        r"|authentication required|incorrect username or password|authorization failed",
        "{login_found}",
        "a login that may pull it",
        "{login_remedy}",
    ),
    (
        r"manifest unknown|name unknown|not found|does not exist|NAME_UNKNOWN|MANIFEST_UNKNOWN",
        "no image {image} in the registry {address}",
        "the registry has it and lets this host in",
        CORRECT_IT,
    ),
    (
        r"no space left on device",
        "no space left on this host for {image}",
        "room for it",
        "Free some (docker image prune)",
    ),
    (
        r"did not end in time",
        "{image} was not there in time",
        "that the pull ends within agent_release_pull_timeout_seconds",
        "Raise it, or look at the way from this host to {address}",
    ),
]
UNKNOWN = ("no image {image}", "the registry has it and lets this host in", CORRECT_IT)


def pull_trouble(image: str, message: str, username: str = "", platform: str = "linux/<arch>") -> str:
    """What it means that an image could not be pulled: found, expected, what to do.

    ``username`` is of the login that was used.
    """
    address = registry_address(image)
    # The image's own name is no evidence.
    told = message.replace(image, "")
    found, expected, remedy = next((tuple(row) for pattern, *row in TROUBLES if re.search(pattern, told)), UNKNOWN)
    words = {"image": image, "address": address, "platform": platform, **login_words(image, address, username)}
    said = message.replace("Error response from daemon: ", "").strip()
    return f"found: {found.format(**words)} ({said}), expected: {expected}. {remedy.format(**words)}"


def login_words(image: str, address: str, username: str) -> dict[str, str]:
    if username:
        found = f"the registry {address} refuses {username} for {image}"
        remedy = (
            f"Correct username and password of {address} in agent_release_registries, or let {username} pull the image"
        )
    else:
        found = f"the registry {address} gives {image} to no one without a login"
        login = f"{address} with username and password (from the vault)"
        remedy = f"Add {login} to agent_release_registries, or correct the image's name"
    return {"login_found": found, "login_remedy": remedy}
