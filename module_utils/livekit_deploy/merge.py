"""Merge settings into settings that somebody else wrote."""

from __future__ import annotations

from typing import Any


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
