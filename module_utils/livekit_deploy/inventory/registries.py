# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the registries that an inventory names. Pure; no sentence holds a password or a user name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ..machine.registry import ADDRESS
from .addresses import without_credentials
from .settings import PLACEHOLDER, Settings

REGISTRY_KEYS = ("address", "username", "password")


def registry_problems(host: Settings) -> Iterator[str]:
    """Yield what is wrong, never with a password or a user name."""
    entries = host.structured.get("agent_release_registries") or []
    if not isinstance(entries, list):
        kind, expected = type(entries).__name__, "a list of address, username and password"
        yield f"is of type {kind}, expected {expected}. Correct it in the inventory."
        return
    for number, entry in enumerate(entries, 1):
        yield from _registry_problems(number, entry)
    given = [str(entry.get("address") or "") for entry in entries if isinstance(entry, Mapping)]
    for address, count in sorted(Counter(given).items()):
        if address and count > 1:
            yield f"has {address} {count} times, expected once. Remove the one that does not hold."


def _registry_problems(number: int, entry: Any) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        kind, expected = type(entry).__name__, ", ".join(REGISTRY_KEYS)
        yield f"has entry {number} of type {kind}, expected {expected}. Correct it in the inventory."
        return
    address = str(entry.get("address") or "")
    name = address if ADDRESS.match(address) else f"entry {number}"
    yield from (f"of {name} {problem}" for problem in _key_problems(entry))


def _key_problems(entry: Mapping[str, Any]) -> Iterator[str]:
    unknown = sorted(entry.keys() - set(REGISTRY_KEYS))
    if unknown:
        yield f"has {', '.join(unknown)}, expected only {', '.join(REGISTRY_KEYS)}. Correct the name, or remove it."
    for key in REGISTRY_KEYS:
        value = entry.get(key)
        if value is None or not str(value).strip():
            where = "the inventory" if key == "address" else "the vault or extra vars"
            yield f"has no {key}, expected a value. Set it in {where}."
        elif not isinstance(value, str):
            yield f"has a {key} of type {type(value).__name__}, expected text. Put it in quotes: YAML changes numbers."
        elif key == "address":
            yield from _address_problems(value)
        elif PLACEHOLDER.search(str(value)):
            yield f"has a placeholder as {key}, expected a real value. Put the one of your registry into the vault."
        elif re.search(r"[\r\n]", str(value)) or (key == "username" and ":" in str(value)):
            yield f"has a {key} with a new line or, in a user name, a colon, expected none. Correct it in the vault."


def _address_problems(address: str) -> Iterator[str]:
    if not ADDRESS.match(address):
        expected = "host or host:port as the images name it"
        yield f"has {without_credentials(address)!r} as address, expected {expected}. Leave out the rest."
