# SPDX-License-Identifier: Apache-2.0
"""What of a host's variables came out of a vault, as ansible-core keeps it. Runs in ansible-core's own process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from ansible._internal._datatag._tags import Origin
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultHelper

DEEPEST = 8
HEADER = b"$ANSIBLE_VAULT"


def vaulted_values(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield what came out of a vault, whether the value or its file was encrypted, by its place among the variables."""
    if path.count(".") > DEEPEST:
        return
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from vaulted_values(one, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from vaulted_values(one, f"{path}.{number}")
    elif VaultHelper.get_ciphertext(value, with_tags=False) or is_vault(getattr(Origin.get_tag(value), "path", None)):
        try:
            yield path, str(value)
        except AnsibleError:  # no key for it: then no task can print it
            return


@cache
def is_vault(path: str | None) -> bool:
    """Tell whether a file that variables come from is encrypted as a whole.

    ansible-core keeps of each value only where it stands.
    """
    source = Path(path or "")
    try:
        if not source.is_file():  # a pipe would be waited for
            return False
        with source.open("rb") as file:
            return file.read(len(HEADER)) == HEADER
    except OSError:
        return False
