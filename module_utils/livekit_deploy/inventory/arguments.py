# SPDX-License-Identifier: Apache-2.0
"""The variables that an inventory defines, held against the argument specs of the roles.

Pure: mappings in, sentences out. ansible-core does the same with a task for each role and host. This is one for all of
them, and it also finds the variable that nobody reads because its name is misspelt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any, TypedDict

from ..common import merge, values
from . import near_names, play_options, settings
from .variables import HostVars, Variables


class Option(TypedDict, total=False):
    """An option of a role in its argument_specs.yml."""

    type: str
    elements: str  # of a list
    choices: list[str]


Specs = Mapping[str, Mapping[str, Any]]  # by role, the content of its argument_specs.yml
# The inventory's own judgement already has sentences for these.
JUDGED = {*settings.REQUIRED, *settings.OPTIONAL, *settings.FLAGS, *settings.STRUCTURED}
# ansible-core would make these of anything; the roles use the value as it is.
AS_WRITTEN: dict[str, type | tuple[type, ...]] = {"dict": Mapping, "list": list, "path": str, "str": str}
TEXTS = ("path", "str")
# Types whose values are never secret, with what judges them.
SHOWN: dict[str, Callable[..., str]] = {
    "bool": values.not_a_switch,
    "int": values.not_a_whole,
    "float": values.not_a_number,
}
# Variables of which 0 would end or keep nothing.
FROM_ONE_ON = ("_timeout_seconds", "_deadline_seconds", "_max_files", "_nodes")
LEAST_MEMORY = 6 * 2**20
ANSIBLE = "ansible_"
# What ansible-core and registered results are called.
# On the command line _dryrun is a slip, as dryrun is.
FOREIGN = (ANSIBLE, "_")
NO_VARIABLE = "is no variable of this project, expected one that a role's README names"
# ansible-core's own classes are made of these.
PLAIN = (bool, int, float, str, list, dict)


def spec_options(specs: Specs) -> dict[str, Option]:
    """Return the options of all entry points of all roles, by name."""
    return {
        name: option
        for role in specs.values()
        for entry_point in (role.get("argument_specs") or {}).values()
        for name, option in (entry_point.get("options") or {}).items()
    }


def argument_problems(hostvars: HostVars, hosts: Iterable[str], specs: Specs, given: Iterable[str] = ()) -> list[str]:
    """Return each variable that nobody knows though it is named like one of ours, and each of a wrong type.

    What was ``given`` with ``-e`` holds for all hosts and is named once.
    """
    options, names = spec_options(specs), set(given)
    prefixes = tuple(f"{role}_" for role in specs)
    known = KnownNames(options, {*options, *JUDGED, *play_options.OPTIONS}, prefixes, names)
    found = []
    for number, host in enumerate(hosts):
        variables = hostvars[host]
        mine = [name for name in variables if not name.startswith(ANSIBLE if name in names else FOREIGN)]
        mine = [name for name in mine if number == 0 or name not in names]
        found += [text for name in sorted(mine) for text in variable_problems(host, variables, name, known)]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class KnownNames:
    """What a name is held against: the roles' options, all names, the prefixes of the roles, what ``-e`` gave."""

    options: Mapping[str, Option]
    names: Collection[str]
    prefixes: tuple[str, ...]
    given: Collection[str]


def variable_problems(host: str, variables: Variables, name: str, known: KnownNames) -> Iterator[str]:
    where = f"{name} (given with -e)" if name in known.given else f"{host}: {name}"
    if name in known.names:
        option = known.options.get(name) if name not in JUDGED else None
        if option and (wrong := type_problem(variables, name, option)):
            yield f"{where} {wrong}. Correct it {'on the command line' if name in known.given else 'in the inventory'}."
    elif close := meant_name(name, known):
        yield f"{where} {NO_VARIABLE}; did you mean {close}?"
    elif name.startswith(known.prefixes):
        yield f"{where} {NO_VARIABLE}; Remove it, or give it a name of your own."


def meant_name(name: str, known: KnownNames) -> str:
    """Return the known variable that an unknown name most likely means; empty where there is none."""
    halves = play_options.HALVES if name in known.given else {}
    if half := halves.get(near_names.folded_name(name)):
        return half
    if name in known.given and (switch := matching_switch(name, known.options)):
        return switch
    # An inventory has variables for its own hosts, which may look like those of a new one.
    ours = known.names if name in known.given else [one for one in known.names if not one.startswith(play_options.NEW)]
    close = near_names.nearest(name, ours)
    if not close and name.startswith(known.prefixes):
        close = next(iter(get_close_matches(name, known.options, n=1)), "")
    return close


def matching_switch(name: str, options: Mapping[str, Option]) -> str:
    """Return the switch of a role whose name ends so: accept_inconclusive is verification_accept_inconclusive."""
    switches = [one for one, option in options.items() if option["type"] == "bool"] if "_" in name else []
    return " or ".join(sorted(one for one in switches if one.endswith(f"_{name}")))


def type_problem(variables: Variables, name: str, option: Option) -> str:
    """Return what is wrong with the type of a value, which is shown only where it cannot be secret."""
    try:
        value = variables[name]
        if isinstance(value, date):
            expected = f"expected {expected_type(option)}: put it in quotes"
            return f"has a value of type date that is no {option['type']}, {expected}"
        if value is not None and not isinstance(value, PLAIN):
            return ""  # ansible-core's mark for what is undefined here: it may refer to what only the role knows
        return value_problem(merge.plain(value), name, option)
    except Exception:
        return ""  # an expression that fails here fails in the role, too


def value_problem(value: Any, name: str, option: Option) -> str:
    kind, choices = option["type"], option.get("choices")
    if kind in SHOWN:
        expected = SHOWN[kind](value, *(number_bounds(name) if kind != "bool" else ()))
        return f"is {values.shown(value)}, expected {expected}" if expected else ""
    if choices and value not in choices:
        return f"is {values.shown(value)}, expected one of {', '.join(choices)}"
    return kind_problem(value, option) or content_problem(value, name, option)


def kind_problem(value: Any, option: Option) -> str:
    kind = option["type"]
    found = f"has a value of type {values.kind(value)} that is no {kind}"
    if kind in TEXTS and isinstance(value, bool | int | float):
        return f"{found}, expected {kind}: put it in quotes"
    return "" if isinstance(value, AS_WRITTEN.get(kind, object)) else f"{found}, expected {expected_type(option)}"


def content_problem(value: Any, name: str, option: Option) -> str:
    if name.endswith("_memory") and (values.size(value) or 0) < LEAST_MEMORY:
        return f"is {values.shown(value)}, expected a size from 6m on, as Docker writes it: 512m or 2g"
    return element_problem(value, name, option) if isinstance(value, list) else ""


def element_problem(value: list[Any], name: str, option: Option) -> str:
    elements: Option = {"type": option.get("elements", "raw")}
    found = next((said for one in value if (said := value_problem(one, name, elements))), "")
    return f"has an element that {found}, expected {expected_type(option)}" if found else ""


def expected_type(option: Option) -> str:
    return str(option["type"]) + (f" of {option['elements']}" if "elements" in option else "")


def number_bounds(name: str) -> tuple[int, int]:
    """Return the smallest and the largest number that a variable may be."""
    if name.endswith(("_port", "_ports")):
        return values.PORTS
    return (1 if name.endswith(FROM_ONE_ON) else 0), values.MOST
