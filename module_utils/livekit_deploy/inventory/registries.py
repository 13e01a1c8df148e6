# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the registries that an inventory names. Pure; no sentence holds a password or a user name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..machine.registry import ADDRESS
from .addresses import without_credentials
from .settings import PLACEHOLDER, Host

REGISTRY_KEYS = ("address", "username", "password")


def _registry_problems(host: Host) -> Iterator[str]:
    """Without passwords and user names in any case."""
    entries = host.structured.get("agent_release_registries")
    if not isinstance(entries or [], list):
        yield f"is of type {type(entries).__name__}, expected a list of address, username and password. Correct it in the inventory."
        return
    addresses = []
    for number, entry in enumerate(entries or [], 1):
        if not isinstance(entry, Mapping):
            yield f"has entry {number} of type {type(entry).__name__}, expected {', '.join(REGISTRY_KEYS)}. Correct it in the inventory."
            continue
        address = str(entry.get("address") or "")
        addresses.append(address)
        name = address if ADDRESS.match(address) else f"entry {number}"
        yield from (f"of {name} {problem}" for problem in _entry_problems(entry))
    for address in sorted({one for one in addresses if one and addresses.count(one) > 1}):
        yield f"has {address} {addresses.count(address)} times, expected once. Remove the one that does not hold."


def _entry_problems(entry: Mapping[str, Any]) -> Iterator[str]:
    unknown = sorted(entry.keys() - set(REGISTRY_KEYS))
    if unknown:
        yield f"has {', '.join(unknown)}, expected only {', '.join(REGISTRY_KEYS)}. Correct the name, or remove it."
    for key in REGISTRY_KEYS:
        value = entry.get(key)
        if value is None or not str(value).strip():
            yield f"has no {key}, expected a value. Set it in {'the inventory' if key == 'address' else 'the vault or extra vars'}."
        elif not isinstance(value, str):
            yield f"has a {key} of type {type(value).__name__}, expected text. Put it in quotes: YAML changes numbers."
        elif key == "address":
            yield from _registry_address_problems(str(value))
        elif PLACEHOLDER.search(str(value)):
            yield f"has a placeholder as {key}, expected a real value. Put the one of your registry into the vault."
        elif re.search(r"[\r\n]", str(value)) or (key == "username" and ":" in str(value)):
            yield f"has a {key} with a new line or, in a user name, a colon, expected none. Correct it in the vault."


def _registry_address_problems(address: str) -> Iterator[str]:
    if not ADDRESS.match(address):
        yield f"has {without_credentials(address)!r} as address, expected host or host:port as the images name it. Leave out the rest."
