# SPDX-License-Identifier: Apache-2.0
"""Which known name the user meant who wrote another one. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

# Up to which length of a name so many slips of a finger are looked for.
SLIPS = ((7, 1), (19, 2))
MOST_SLIPS = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that differs from ``name`` by a few slips only, in case, hyphens or underscores.

    Empty where there is none.
    """
    return _nearest(name, tuple(sorted(known)))


@lru_cache(maxsize=4096)
def _nearest(name: str, known: tuple[str, ...]) -> str:
    written = folded_name(name)
    allowed = slips_in(written)
    # A whole name with a word of its own before or after it is the user's own: my_livekit_url.
    others = [other for other in known if not (name.startswith(f"{other}_") or name.endswith(f"_{other}"))]
    found = [(slips(written, folded_name(other), allowed), other) for other in others]
    distance, other = min(found, default=(allowed + 1, ""))
    return other if distance <= allowed else ""


def folded_name(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def slips_in(name: str) -> int:
    return next((allowed for length, allowed in SLIPS if len(name) <= length), MOST_SLIPS)


def slips(one: str, other: str, most: int) -> int:
    """Count the letters that are wrong, missing, too many or in the place of their neighbour, up to ``most``."""
    if abs(len(one) - len(other)) > most or (Counter(one) - Counter(other)).total() > most:
        return most + 1
    before, row = [0] * (len(other) + 1), list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(row[j - 1] + 1, before[j] + 1, before[j - 1] + (letter != wanted))
            swapped = i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted
            row.append(min(cost, earlier[j - 2] + 1) if swapped else cost)
    return row[-1]
