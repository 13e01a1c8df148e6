# SPDX-License-Identifier: Apache-2.0
"""The values that no report shows: which variables of a host hold them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..common import text

MASK = "********"
PASSWORDS = ("become_password", "become_pass", "password", "ssh_pass", "ssh_password", "sudo_pass")
SECRET_VARIABLES = (
    "livekit_api_secret",
    *(f"ansible_{name}" for name in PASSWORDS),
    "ansible_ssh_private_key_passphrase",
)
SECRET_ENVIRONMENTS = ("livekit_agent_secret_env", "agent_api_secret_env")
ENVIRONMENTS = ("livekit_agent_env", "agent_api_env")
REGISTRIES = "agent_release_registries"
# What a report is about, whoever keeps it in a vault.
PUBLIC_VARIABLES = (
    "livekit_agent_name",
    "livekit_agent_shared_name",
    "livekit_agent_pool",
    "agent_release_app",
    "livekit_url",
    "livekit_api_url",
)
KNOWN = (*SECRET_VARIABLES, *SECRET_ENVIRONMENTS, *ENVIRONMENTS, REGISTRIES, *PUBLIC_VARIABLES)


def host_secrets(variables: Mapping[str, object], vaulted: Mapping[str, str]) -> set[str]:
    """Return the values that no report shows, of a host's ``KNOWN`` variables and of what a vault holds by name.

    A secret is one from four characters on, unless it is a number, a path or a word like true. What a vault holds
    under a name that does not say secret is one from eight on.
    """
    named = {str(value) for name, value in secret_items(variables) if value is not None and name not in text.PUBLIC}
    found = {value for value in named if len(value) >= text.SHORTEST_NAMED} | text.secret_values(vaulted)
    public = {str(variables.get(name)) for name in PUBLIC_VARIABLES}
    return {value for value in found - public if is_telling(value)}


def secret_items(variables: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield each variable that is secret by its own name, or by the variable that it is in."""
    for name in SECRET_VARIABLES:
        yield name, variables.get(name)
    for name in SECRET_ENVIRONMENTS:
        yield from items(variables.get(name))
    logins = variables.get(REGISTRIES) or []
    for login in logins if isinstance(logins, Iterable) else []:
        yield from (item for item in items(login) if item[0] == "password")
    for name in ENVIRONMENTS:
        yield from (item for item in items(variables.get(name)) if text.SECRET_NAME.search(item[0]))


def items(value: object) -> list[tuple[str, object]]:
    return [(str(key), one) for key, one in value.items()] if isinstance(value, Mapping) else []


def is_telling(value: str) -> bool:
    """Tell whether a value is more than a short ordinary word, which would be masked everywhere."""
    return len(value) >= text.SHORTEST_OTHER or not text.ORDINARY.fullmatch(value)


def report_masker(secrets: Iterable[str]) -> text.Masker:
    """Return what every document and line of a run passes through, with ansible-core's own mask."""
    return text.Masker(secrets, MASK)
