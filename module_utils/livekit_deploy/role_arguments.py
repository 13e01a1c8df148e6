# SPDX-License-Identifier: Apache-2.0
"""The variables that an inventory defines, held against the argument specs of the roles.

Pure: mappings in, sentences out. ansible-core does the same with a task for each role and host; this is one for all of them,
and it also finds the variable that nobody reads because its name is misspelt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any

from ansible.module_utils.livekit_deploy import inventory, merge, near_names, play_options, values

Specs = Mapping[str, Mapping[str, Any]]
# The inventory's own judgement already has sentences for these.
JUDGED = {*inventory.REQUIRED, *inventory.OPTIONAL, *inventory.FLAGS, *inventory.STRUCTURED}
# ansible-core would make these of anything; the roles use the value as it is.
AS_WRITTEN: dict[str, type | tuple[type, ...]] = {"dict": Mapping, "list": list, "path": str, "str": str}
TEXTS = ("path", "str")
# Types whose values are never secret, with what judges them.
SHOWN: dict[str, Callable[..., str]] = {"bool": values.not_a_switch, "int": values.not_a_whole, "float": values.not_a_number}
# Variables of which 0 would end or keep nothing.
FROM_ONE_ON = ("_timeout_seconds", "_deadline_seconds", "_max_files", "_nodes")
LEAST_MEMORY = 6 * 2**20
ANSIBLE = "ansible_"
# What ansible-core and registered results are called. On the command line _dryrun is a slip, as dryrun is.
FOREIGN = (ANSIBLE, "_")
# ansible-core's own classes are made of these.
PLAIN = (bool, int, float, str, list, dict)
# What earlier releases of this project called otherwise.
RENAMED = {
    "verification_preview_path": "verification_preview.path",
    "verification_preview_url": "verification_preview.url",
    "verification_preview_port": "api_proxy_listen_port, or verification_preview.url",
}


def options_of(specs: Specs) -> dict[str, dict[str, Any]]:
    """The options of all entry points of all roles, by name; ``specs`` maps a role to the content of its argument_specs.yml."""
    return {
        name: dict(option)
        for role in specs.values()
        for entry_point in (role.get("argument_specs") or {}).values()
        for name, option in (entry_point.get("options") or {}).items()
    }


def argument_problems(hostvars: Mapping[str, Any], hosts: Iterable[str], specs: Specs, given: Iterable[str] = ()) -> list[str]:
    """Return each variable that nobody knows though it is named like one of ours, and each of a wrong type. What was ``given`` with ``-e``
    holds for all hosts and is told once."""
    options, names = options_of(specs), set(given)
    known, prefixes = {*options, *JUDGED, *play_options.OPTIONS}, tuple(f"{role}_" for role in specs)
    found = []
    for number, host in enumerate(hosts):
        variables = hostvars[host]
        mine = [name for name in variables if not name.startswith(ANSIBLE if name in names else FOREIGN)]
        mine = [name for name in mine if number == 0 or name not in names]
        found += [text for name in sorted(mine) for text in problems_of(host, variables, name, Known(options, known, prefixes, names))]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Known:
    """What a name is held against: the roles' options, all names that there are, the prefixes of the roles, what was given with ``-e``."""

    options: Mapping[str, Any]
    names: Collection[str]
    prefixes: tuple[str, ...]
    given: Collection[str]


def problems_of(host: str, variables: Mapping[str, Any], name: str, known: Known) -> Iterator[str]:
    where = f"{name} (given with -e)" if name in known.given else f"{host}: {name}"
    if name in known.names:
        wrong = wrong_type(variables, name, known.options[name]) if name in known.options and name not in JUDGED else ""
        if wrong:
            yield f"{where} {wrong}. Correct it {'on the command line' if name in known.given else 'in the inventory'}."
    elif close := meant(name, known):
        yield f"{where} is no variable of this project, expected one that a role's README names; did you mean {close}?"
    elif name.startswith(known.prefixes):
        remedy = f"it is {RENAMED[name]} now." if name in RENAMED else "Remove it, or give it a name of your own."
        yield f"{where} is no variable of this project, expected one that a role's README names; {remedy}"


def meant(name: str, known: Known) -> str:
    """Return the variable that was meant by one that nobody knows; empty where there is none."""
    if name in RENAMED:
        return ""
    if name in known.given and (half := play_options.HALVES.get(near_names.plain(name)) or switch_of(name, known.options)):
        return half
    # An inventory has variables for its own hosts, which may look like those of a new one.
    ours = known.names if name in known.given else [one for one in known.names if not one.startswith(play_options.NEW)]
    close = near_names.nearest(name, ours)
    if not close and name.startswith(known.prefixes):
        close = next(iter(get_close_matches(name, known.options, n=1)), "")
    return close


def switch_of(name: str, options: Mapping[str, Any]) -> str:
    """Return the switch of a role whose name ends so: accept_inconclusive is verification_accept_inconclusive."""
    found = [one for one, option in options.items() if option["type"] == "bool" and one.endswith(f"_{name}")] if "_" in name else []
    return " or ".join(sorted(found))


def wrong_type(variables: Mapping[str, Any], name: str, option: Mapping[str, Any]) -> str:
    """Say what is wrong with the type of a value, which is shown only where it cannot be secret. Empty when nothing is."""
    try:
        value = variables[name]
        if isinstance(value, date):
            return f"has a value of type date that is no {option['type']}, expected {expected_of(option)}: put it in quotes"
        if value is not None and not isinstance(value, PLAIN):
            return ""  # ansible-core's mark for what is undefined here: it may refer to what only the role knows
        return judged(merge.plain(value), name, option)
    except Exception:
        return ""  # an expression that fails here is the role's to tell


def judged(value: Any, name: str, option: Mapping[str, Any]) -> str:
    kind, choices = option["type"], option.get("choices")
    if kind in SHOWN:
        expected = SHOWN[kind](value, *bounds(name)) if kind != "bool" else values.not_a_switch(value)
        return f"is {values.shown(value)}, expected {expected}" if expected else ""
    if choices and value not in choices:
        return f"is {values.shown(value)}, expected one of {', '.join(choices)}"
    if kind in TEXTS and isinstance(value, bool | int | float):
        return f"has a value of type {values.kind(value)} that is no {kind}, expected {kind}: put it in quotes"
    if not isinstance(value, AS_WRITTEN.get(kind, object)):
        return f"has a value of type {values.kind(value)} that is no {kind}, expected {expected_of(option)}"
    if name.endswith("_memory") and (values.size(value) or 0) < LEAST_MEMORY:
        return f"is {values.shown(value)}, expected a size from 6m on, as Docker writes it: 512m or 2g"
    return wrong_element(value, name, option) if isinstance(value, list) else ""


def wrong_element(value: list[Any], name: str, option: Mapping[str, Any]) -> str:
    elements = option.get("elements", "raw")
    found = next((said for one in value if (said := judged(one, name, {"type": elements}))), "")
    return f"has an element that {found}, expected {expected_of(option)}" if found else ""


def expected_of(option: Mapping[str, Any]) -> str:
    return str(option["type"]) + (f" of {option['elements']}" if "elements" in option else "")


def bounds(name: str) -> tuple[int, int]:
    """Return the smallest and the largest number that a variable may be."""
    if name.endswith(("_port", "_ports")):
        return values.PORTS
    return (1 if name.endswith(FROM_ONE_ON) else 0), values.MOST
