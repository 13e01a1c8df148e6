# SPDX-License-Identifier: Apache-2.0
"""The variables that an inventory defines, held against the argument specs of the roles.

Pure: mappings in, sentences out. ansible-core does the same with a task for each role and host; this is one for all of them,
and it also finds the variable that nobody reads because its name is misspelt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.livekit_deploy import inventory, merge

Specs = Mapping[str, Mapping[str, Any]]
# The inventory's own judgement already has sentences for these.
JUDGED = {*inventory.REQUIRED, *inventory.OPTIONAL, *inventory.FLAGS, *inventory.STRUCTURED}
# ansible-core would make these of anything; the roles use the value as it is.
AS_WRITTEN: dict[str, type | tuple[type, ...]] = {"dict": Mapping, "list": list, "path": str, "str": (str, int, float)}
# ansible-core's own classes are made of these.
PLAIN = (bool, int, float, str, list, dict)
# What earlier releases of this project called otherwise.
RENAMED = {
    "verification_preview_path": "verification_preview.path",
    "verification_preview_url": "verification_preview.url",
    "verification_preview_port": "api_proxy_listen_port, or verification_preview.url",
}
TYPE_KEYS = ("type", "elements", "choices")


def options_of(specs: Specs) -> dict[str, dict[str, Any]]:
    """The options of all entry points of all roles, by name; ``specs`` maps a role to the content of its argument_specs.yml."""
    return {
        name: dict(option)
        for role in specs.values()
        for entry_point in (role.get("argument_specs") or {}).values()
        for name, option in (entry_point.get("options") or {}).items()
    }


def argument_problems(hostvars: Mapping[str, Any], hosts: Iterable[str], specs: Specs) -> list[str]:
    """Each variable of a host that no role knows though it is named like one of a role, and each of a wrong type."""
    options = options_of(specs)
    prefixes = tuple(f"{role}_" for role in specs)
    return [problem for host in hosts for problem in host_problems(host, hostvars[host], options, prefixes)]


def host_problems(host: str, variables: Mapping[str, Any], options: Mapping[str, Any], prefixes: tuple[str, ...]) -> Iterator[str]:
    for name in sorted(variables):
        if name in options and name not in JUDGED:
            wrong = wrong_type(variables, name, options[name])
            if wrong:
                yield f"{host}: {name} {wrong}. Correct it in the inventory."
        elif name.startswith(prefixes) and name not in JUDGED:
            close = get_close_matches(name, options, n=1)
            remedy = f"did you mean {close[0]}?" if close else "Remove it, or give it a name of your own."
            remedy = f"it is {RENAMED[name]} now." if name in RENAMED else remedy
            yield f"{host}: {name} is no variable of this project, expected one that a role's README names; {remedy}"


def wrong_type(variables: Mapping[str, Any], name: str, option: Mapping[str, Any]) -> str:
    """What is wrong with the type of a value, without the value: it may be a secret. Empty when nothing is."""
    spec = {name: {key: option[key] for key in TYPE_KEYS if key in option}}
    try:
        value = variables[name]
        if value is not None and not isinstance(value, PLAIN):
            return ""  # ansible-core's mark for what is undefined here: it may refer to what only the role knows
        as_written = value is not None and isinstance(value, AS_WRITTEN.get(option["type"], object))
        # The validator copies what it is given, and a value that is still a template drags all variables along.
        if as_written and not ArgumentSpecValidator(spec).validate({name: merge.plain(value)}).error_messages:
            return ""
    except Exception:
        return ""  # an expression that fails here is the role's to tell
    expected = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
    found = next((kind.__name__ for kind in PLAIN if isinstance(value, kind)), "nothing")
    return f"has a value of type {found} that is no {expected}, expected {expected}"
