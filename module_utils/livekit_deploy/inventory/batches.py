# SPDX-License-Identifier: Apache-2.0
"""Which hosts are released together, one batch after the other. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .variables import HostVars

SHARE = re.compile(r"(\d{1,3})%")


def batch_sizes(wanted: Any, total: int) -> list[int]:
    """Return the sizes of the batches as numbers, at least 1 each. The last one holds for all that follow.

    ``wanted`` has numbers and shares of ``total`` such as ``50%``.
    """
    listed = wanted if isinstance(wanted, list | tuple) else [wanted]
    return [batch_size(entry, total) for entry in listed] or [total]


def batch_size(entry: Any, total: int) -> int:
    share = SHARE.fullmatch(str(entry))
    return max(1, total * int(share[1]) // 100) if share else max(1, int(entry))


def batches(hosts: Sequence[str], wanted: Any) -> list[list[str]]:
    """Return the hosts in their order, in batches; all in one where nothing is wanted."""
    sizes, left = batch_sizes(wanted or [], len(hosts)), list(hosts)
    made: list[list[str]] = []
    while left:
        size = sizes[min(len(made), len(sizes) - 1)]
        made.append(left[:size])
        left = left[size:]
    return made


def batch_problems(hostvars: HostVars, hosts: Sequence[str]) -> list[str]:
    """Return what is wrong with ``deploy_batches`` and ``deploy_on_batch_failure`` of the inventory."""
    given = [hostvars[host].get("deploy_batches") or [] for host in hosts]
    wanted = {str(one): one for one in given}
    if len(wanted) > 1:
        found = f"deploy_batches differs between hosts: {', '.join(sorted(wanted))}"
        return [f"{found}, expected one for all. Set it for the group agent_hosts"]
    listed = next(iter(wanted.values()), [])
    bad = [entry for entry in (listed if isinstance(listed, list | tuple) else [listed]) if not is_size(entry)]
    choices = {str(hostvars[host].get("deploy_on_batch_failure", "keep")) for host in hosts} - {"keep", "rollback"}
    sizes = "a number of hosts from 1 on, or a share such as 50%"
    return [f"deploy_batches has {entry!r}, expected {sizes}. Correct it" for entry in bad] + [
        f"deploy_on_batch_failure is {choice!r}, expected keep or rollback. Correct it" for choice in sorted(choices)
    ]


def is_size(entry: Any) -> bool:
    share = SHARE.fullmatch(str(entry))
    return 1 <= int(share[1]) <= 100 if share else bool(re.fullmatch(r"[1-9]\d{0,5}", str(entry)))
