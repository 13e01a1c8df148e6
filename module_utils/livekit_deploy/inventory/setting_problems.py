# SPDX-License-Identifier: Apache-2.0
"""What is wrong with one host's own settings. Pure; no sentence holds a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult

from .addresses import SECURE, UNSPECIFIED, is_local, is_loopback, split_url, without_credentials
from .archives import archive_problems
from .registries import registry_problems
from .settings import CREDENTIALS, IMAGES, PLACEHOLDER, REQUIRED, URLS, Settings

SECRET_MIN_BYTES = 32
OF_A_RELEASE = ("agent_release_app", *IMAGES)
NAMES = ("livekit_agent_name", "livekit_agent_shared_name")
WHERE_TO_SET = {name: "the vault or extra vars" if name in CREDENTIALS else "the inventory" for name in REQUIRED}
# Docker Desktop has these in every container.
DOCKER_NAMES = frozenset({"host.docker.internal", "gateway.docker.internal"})
# What clients add to the address themselves.
ENDPOINTS = frozenset({"rtc", "agent", "twirp"})
APP = re.compile(r"^[a-z0-9][a-z0-9-]{0,31}\Z")
DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
# Registry with an optional port, path, tag: what `docker pull` takes, without the digest.
REFERENCE = re.compile(
    r"^(?P<path>[A-Za-z0-9.\-\[\]:]+(?:/[a-z0-9._\-/]+)+|[a-z0-9._\-]+)"
    r"(?::(?P<tag>[A-Za-z0-9_][\w.\-]{0,127}))?$"
)


def host_problems(host: Settings, *, looks: bool = False) -> Iterator[str]:
    """Yield what is wrong with one host's own settings; with ``looks`` what only a release needs may be missing."""
    for variable in [one for one in REQUIRED if not (looks and one in OF_A_RELEASE)]:
        worker_only = variable == "agent_api_image" and host.values.get(variable) == ""
        if variable not in host.unreadable and not host.get(variable).strip() and not worker_only:
            yield f"{host.name}: {_missing(variable)}"
    for check, variables in (
        (_app_problem, ("agent_release_app",)),
        (_name_problem, NAMES),
        (_url_problem, URLS),
        (_reach_problem, ("livekit_url",)),
        (_image_problem, IMAGES),
        (_credential_problem, CREDENTIALS),
        (_secret_problem, ("livekit_api_secret",)),
    ):
        for variable in variables:
            problem = check(host, host.get(variable)) if host.get(variable).strip() else ""
            if problem:
                yield f"{host.name}: {variable} {problem}"
    yield from (f"{host.name}: agent_release_registries {problem}" for problem in registry_problems(host))
    yield from (f"{host.name}: agent_release_image_archives {problem}" for problem in archive_problems(host))


def _missing(variable: str) -> str:
    if variable == "livekit_agent_name":
        found = "livekit_agent_name is empty: an agent without a name joins every new room."
        return f"{found} Give it a name in the inventory."
    return f"{variable} is not set, expected a value. Set it in {WHERE_TO_SET[variable]}."


def _app_problem(_host: Settings, app: str) -> str:
    if APP.match(app):
        return ""
    why = "it names directories, compose projects and the proxy's upstream"
    return f"is {app!r}, expected small letters, digits and hyphens: {why}."


def _name_problem(_host: Settings, name: str) -> str:
    if re.search(r"\s", name) or not name.isprintable():
        why = "LiveKit compares names byte by byte"
        return f"is {name!r}, expected a name without white space: {why}. Remove the white space."
    return ""


def _url_problem(host: Settings, url: str) -> str:
    parts, harmless = split_url(url), without_credentials(url)
    if re.search(r"\s", url) or not url.isprintable():
        return f"is {harmless!r} with white space, expected none. Remove it in the inventory."
    if parts is None:
        return f"is {harmless!r}, expected ws://, wss://, http:// or https:// and a host. Correct it in the inventory."
    if parts.username or parts.password:
        remedy = "Use livekit_api_key and livekit_api_secret."
        return f"is {harmless!r} with credentials before the host, expected none. {remedy}"
    return _endpoint_problem(host, url, parts)


def _endpoint_problem(host: Settings, url: str, parts: SplitResult) -> str:
    if (parts.hostname or "").rstrip(".") in UNSPECIFIED:
        return f"is {url!r}: an address to listen on, expected the one at which the server is reached. Set that one."
    if parts.query or parts.fragment or parts.path.rstrip("/").rpartition("/")[2] in ENDPOINTS:
        found = f"is {url!r} with a path of the server's own or a query"
        return f"{found}, expected scheme, host and port. Leave out what follows."
    if parts.scheme not in SECURE and not is_local(parts.hostname or "") and not host.allows_insecure:
        return (
            f"is {url!r}: not encrypted, to a server that is not local, expected wss:// or https://. "
            "Use that, or set livekit_url_allow_insecure: true if the way there is trusted."
        )
    return ""


def _reach_problem(host: Settings, url: str) -> str:
    """Return why a container in a network of its own cannot reach the server there."""
    parts = split_url(url)
    name = ((parts.hostname or "") if parts else "").rstrip(".").lower()
    if parts is None or name in UNSPECIFIED:
        return ""  # said already
    if is_loopback(name):
        return (
            f"is {without_credentials(url)!r}: a loopback address, which in a container is the container itself, "
            "expected the address at which containers reach the server. Set that one (the server's own in its "
            "network, say), and livekit_api_url where the controller needs another one."
        )
    if name in DOCKER_NAMES and not all(_knows(host, service, name) for service in _services(host)):
        return (
            f"is {without_credentials(url)!r}: Docker on Linux gives containers no address for {name}, expected one "
            f'that they know. Set the server\'s address, or add extra_hosts: ["{name}:host-gateway"] to '
            "livekit_agent_compose and agent_api_compose."
        )
    return ""


def _services(host: Settings) -> list[str]:
    return ["livekit_agent_compose", *(["agent_api_compose"] if host.get("agent_api_image") else [])]


def _knows(host: Settings, variable: str, name: str) -> bool:
    """Return whether a service gets the address of a name."""
    given = host.structured.get(variable)
    known = given.get("extra_hosts") if isinstance(given, Mapping) else None
    listed = list(known) if isinstance(known, Mapping | list) else []
    return any(re.split(r"[:=]", str(one))[0].lower() == name for one in listed)


def _image_problem(host: Settings, image: str) -> str:
    if image in host.archives:
        return ""  # known by its id
    reference, at, digest = image.partition("@")
    parsed = REFERENCE.match(reference)
    if parsed is None or (at and not DIGEST.match(digest)):
        reference = "registry/name@sha256:<64 hex digits>"
        return f"is {image!r}, expected an image reference like {reference}. Correct it in the inventory."
    if at:
        return ""
    if parsed["tag"] in (None, "latest"):
        found = "has no tag" if parsed["tag"] is None else "floats with :latest"
        remedy = "Pin it: `docker buildx imagetools inspect` prints the digest."
        return f"is {image!r} and {found}, expected a digest (name@sha256:…). {remedy}"
    if not host.allows_tags:
        remedy = "Pin it, or set agent_release_allow_tags: true to allow a tag."
        return f"is {image!r}, expected a digest (name@sha256:…). {remedy}"
    return ""


def _credential_problem(_host: Settings, value: str) -> str:
    """Return what is wrong, never with the value: the sentence is printed and logged."""
    if PLACEHOLDER.search(value):
        return "is a placeholder, expected a real value. Put the one of your LiveKit server into the vault."
    if re.search(r"\s", value):
        remedy = "Remove it from the vault: a new line at the end is enough to fail."
        return f"has white space in it, expected none. {remedy}"
    return ""


def _secret_problem(_host: Settings, secret: str) -> str:
    size = len(secret.encode())
    if PLACEHOLDER.search(secret) or size >= SECRET_MIN_BYTES:
        return ""
    return (
        f"is {size} bytes long, expected at least {SECRET_MIN_BYTES}. "
        "Make one with `openssl rand -base64 36`, for the server and for the vault."
    )
