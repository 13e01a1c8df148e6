"""Settings that somebody wrote: as plain values, and merged into others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """The value in Python's own types; whatever is a template in it is resolved, and fails here if it cannot be."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def merged(present: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """``present`` with ``wanted`` in it: objects are merged, lists united (theirs first), other values replaced."""
    result = dict(present)
    for key, value in wanted.items():
        found = result.get(key)
        if isinstance(found, dict) and isinstance(value, dict):
            result[key] = merged(found, value)
        elif isinstance(found, list) and isinstance(value, list):
            result[key] = found + [item for item in value if item not in found]
        else:
            result[key] = value
    return result
