# SPDX-License-Identifier: Apache-2.0
"""What became of an agent name that a host no longer serves, and who gets which share of one that is shared on purpose. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.commands import Playbooks
from ..inventory import placement
from ..inventory.problems import read_host
from ..play import run
from ..proof import probes
from ..release import records
from ..release.adopted import claimed
from ..worker.readings import NAME_VARIABLES

REMOVAL, STRANGERS, SHARERS = "__removal_done", "__removal_workers", "__removal_sharers"
TOKENS = "join tokens with an embedded dispatch to it may still be in use: they name the agent themselves"


def changes(hostvars: Mapping[str, Any], hosts: Sequence[str], planned: bool = False) -> dict[str, dict[str, Any]]:
    """The hosts of a run that serve another name than before, or one that is shared on purpose: name before, name now, whether shared.
    With ``planned`` those that will, if all goes well."""
    found = {}
    for host in hosts:
        plan = run.plan_of(hostvars[host])
        if not plan.get("changed") or not (planned or run.ended(hostvars[host])):
            continue
        shared = (plan.get("rolled_back") or {}).get("kind") == probes.SHARED_NAME
        before, now = plan["agent_name_before"], plan["agent_name"]
        if shared or (before and before != now):
            found[host] = {"before": before if before != now else None, "now": now, "shared": shared}
    return found


def inventory(
    hostvars: Mapping[str, Any], group: Sequence[str], hosts: Sequence[str] = (), planned: bool = False
) -> dict[str, dict[str, Any]]:
    """Of each host the name that it serves, every worker id it is known to have had, and which of the names that the run's ``hosts`` leave
    its API dispatches to."""
    known = {}
    left = successors(changes(hostvars, hosts, planned))
    for host in group:
        variables = hostvars[host]
        readings = [variables[name] for name in (*run.READINGS, probes.WITNESS) if run.registered(variables, name, "workers")]
        adopted = run.adopted_of(variables)
        readings = [claimed(reading, adopted) for reading in readings]
        states = {release: state for reading in readings for release, state in (reading.get("states") or {}).items()}
        name = run.name_of(variables)
        known[host] = {
            "agent_name": name,
            "worker_ids": probes.own_ids(readings, states),
            "dispatches_to": dispatches(host, variables, name, left, planned),
        }
    return known


def successors(changed: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """By each name that hosts leave those that they have instead; none after a removal."""
    names = sorted({name for change in changed.values() for name in names_before(change)})
    return {
        name: sorted({str(change["now"]) for change in changed.values() if name in names_before(change) and change["now"]})
        for name in names
    }


def dispatches(
    host: str, variables: Mapping[str, Any], own_name: str, left: Mapping[str, Sequence[str]], planned: bool = False
) -> dict[str, str]:
    """By each name that is left and that the host's API dispatches to, how it is told of: the name is its own, or a variable has it. Where
    the inventory's values are not what serves there, a variable is only told as a possibility."""
    if not placement.has_api(variables):
        return {}
    values, plan = environment(variables), run.plan_of(variables)
    back = (plan.get("rolled_back") or {}).get("kind")
    released = bool(plan) and not back and (planned or not plan.get("changed") or run.ended(variables))
    found = {}
    for name, instead in left.items():
        old = [variable for variable, value in values.items() if value == name]
        new = [] if released else [variable for variable, value in values.items() if value in instead]
        if own_name == name:
            found[name] = f"the API of {host}"
        elif old and back != records.RELEASE:  # a kept one brings its own variables back; under the shared name they stay
            found[name] = f"the API of {host} (its {', '.join(old)})"
        elif old or new:
            listed = ", ".join(f"{variable} is {values[variable]}" for variable in old or new)
            found[name] = f"maybe the API of {host} (its {listed} in the inventory, which is not what this run releases there)"
    return found


def environment(variables: Mapping[str, Any]) -> dict[str, str]:
    """What the inventory gives the API beside its own name: no secret, and nothing that refers to what only the role knows."""
    given = readable(variables, "agent_api_env")
    names = [name for name in given if name not in NAME_VARIABLES] if isinstance(given, Mapping) else []
    return {str(name): str(value) for name in names if isinstance(value := readable(given, name), str)}


def readable(values: Mapping[str, Any], name: str) -> Any:
    try:
        return values[name]
    except Exception:  # it is not there, or a templating error, which have no common public type
        return None


def names_before(change: Mapping[str, Any]) -> list[str]:
    """The names that a host no longer serves: one after a rename, maybe several after a removal."""
    before = change["before"] or []
    return [before] if isinstance(before, str) else [str(name) for name in before]


def questions(changed: Mapping[str, Mapping[str, Any]], samples: int, spacing_seconds: float) -> list[dict[str, Any]]:
    """One probe to each former name, so many to each shared one. A worker with the hook answers it; the job of any other is ended."""
    former = sorted({name for change in changed.values() for name in names_before(change)})
    shared = sorted({str(change["now"]) for change in changed.values() if change["shared"]})
    common = {"kind": "probe", "mode": "answer", "expect": "job"}
    return [{"id": f"{name}/former", "agent_name": name, **common} for name in former] + [
        {"id": f"{name}/share", "agent_name": name, "count": samples, "spacing_seconds": spacing_seconds, **common} for name in shared
    ]


def notes(
    changed: Mapping[str, Mapping[str, Any]],
    known: Mapping[str, Mapping[str, Any]],
    answers: Mapping[str, Mapping[str, Any]],
    sip: Mapping[str, Any],
) -> list[str]:
    """What is told at the end of the run, a line each."""
    whose = {worker_id: host for host, found in known.items() for worker_id in found["worker_ids"]}
    lines = []
    for name in sorted({name for change in changed.values() for name in names_before(change)}):
        hosts = [host for host, change in changed.items() if name in names_before(change)]
        lines += former_name(name, hosts, known, answers.get(f"{name}/former") or {}, sip, whose)
    for name in sorted({str(change["now"]) for change in changed.values() if change["shared"]}):
        lines.append(shares(name, {key: answer for key, answer in answers.items() if key.startswith(f"{name}/share")}, whose))
    return lines


def former_name(
    name: str,
    hosts: Sequence[str],
    known: Mapping[str, Mapping[str, Any]],
    answer: Mapping[str, Any],
    sip: Mapping[str, Any],
    whose: Mapping[str, str],
) -> list[str]:
    users = apis(name, known)
    users += [f"SIP dispatch rule {rule['name'] or rule['id']}" for rule in sip.get("rules") or [] if name in rule["agents"]]
    lines = [f"{', '.join(hosts)} no longer serves {name}: {fate(answer, whose)}"]
    lines.append(f"  still dispatching to it: {', '.join(users) or 'nothing that the inventory knows'}; {TOKENS}")
    if not sip.get("checked"):
        lines.append(f"  SIP dispatch rules were not read: {sip.get('reason')}")
    return lines


def apis(name: str, known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [str(found["dispatches_to"][name]) for found in known.values() if name in (found.get("dispatches_to") or {})]


def warnings(changed: Mapping[str, Mapping[str, Any]], known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is told before hosts leave a name to which the API of another entry dispatches."""
    lines = []
    for name, instead in successors(changed).items():
        hosts = ", ".join(host for host, change in changed.items() if name in names_before(change))
        # One whose own name it is serves it itself.
        if users := apis(name, {host: found for host, found in known.items() if found["agent_name"] != name}):
            lines.append(
                f"{hosts}: about to leave the agent name {name}, to which something dispatches: {', '.join(users)}. What it sends there "
                f"then is lost unless others serve {name}; give it {' or '.join(instead)} in the same run, or leave {hosts} out (--limit)"
            )
    return lines


def fate(answer: Mapping[str, Any], whose: Mapping[str, str]) -> str:
    if answer.get("outcome") == "taken":
        taker = str(answer.get("worker_id"))
        return f"{taker} ({whose.get(taker, 'no host of this run')}) serves it"
    if answer.get("outcome") == "nobody":
        return "nobody serves it, dispatches to it are lost"
    return f"who serves it is not known ({answer.get('reason') or 'not asked'})"


def shares(name: str, answers: Mapping[str, Mapping[str, Any]], whose: Mapping[str, str]) -> str:
    """Who took how many of the spaced probes."""
    taken = Counter(str(answer.get("worker_id")) for answer in answers.values() if answer.get("outcome") == "taken")
    parts = [f"{whose.get(worker_id, 'not ours')} {worker_id} {count}" for worker_id, count in taken.most_common()]
    lost = len(answers) - sum(taken.values())
    return f"of {len(answers)} spaced probes to {name}: {', '.join([*parts, *([f'nobody {lost}'] if lost else [])]) or 'none answered'}"


# --- a host that was taken out ---------------------------------------------------------------------------------------


def refusal(group: Sequence[str], run: Sequence[str], host: str) -> str:
    """Why nothing is removed; empty where it is clear from which host."""
    named = ", ".join(group)
    if not host:
        return f"found no remove_host, expected the one host to take out. Say which: -e remove_host=<one of {named}>"
    if host not in group:
        return f"found remove_host={host}, expected a host of the group agent_hosts ({named}). Correct the name: nothing was removed"
    if host not in run:
        return f"found remove_host={host}, which --limit leaves out, expected it among the hosts of the run. Leave --limit out"
    return ""


def leaving(hostvars: Mapping[str, Any], host: str) -> dict[str, dict[str, Any]]:
    """As ``changes``: the names that the host's workers served; where nothing was there any more that of the inventory."""
    found = (run.registered(hostvars[host], REMOVAL, "removal") or {}).get("removal") or {}
    names = [str(name) for name in found.get("agent_names") or []] or [read_host(host, hostvars[host])[0].agent_name]
    return {host: {"before": [name for name in names if name], "now": None, "shared": False}}


def sharers(hostvars: Mapping[str, Any], group: Sequence[str], host: str) -> list[str]:
    """The other hosts that may serve such a name: by their own name, or rolled back to their shared one."""
    names = set(leaving(hostvars, host)[host]["before"])
    known = {other: read_host(other, hostvars[other])[0] for other in group if other != host}
    return [other for other, one in known.items() if {one.agent_name, one.shared_name} & names]


def beside(hostvars: Mapping[str, Any], group: Sequence[str], host: str) -> dict[str, dict[str, Any]]:
    """As ``inventory``, of the hosts that stay; and of each worker that still runs on the host, which is not ours any more."""
    variables = hostvars[host]
    known: dict[str, dict[str, Any]] = {
        other: {"agent_name": read_host(other, hostvars[other])[0].agent_name, "worker_ids": []} for other in group if other != host
    }
    for read in (run.registered(variables, SHARERS, "results") or {}).get("results") or []:
        other = str(read.get("__removal_sharer"))
        if read.get("workers") is not None and other in known:
            reading = claimed(read, read.get("adopted"))
            known[other] = {"agent_name": served_by(reading, known[other]), "worker_ids": ids_on(reading)}
    for one in (run.registered(variables, STRANGERS, "workers") or {}).get("workers") or []:
        if one.get("running"):
            project = f" of compose project {one['project']}" if one.get("project") else ""
            ids = [i for i in [*(one.get("worker_ids") or []), one.get("worker_id")] if i]
            known[f"{one['container']}{project} on {host}, not ours"] = {"agent_name": "", "worker_ids": ids}
    left = successors(leaving(hostvars, host))
    for other in [other for other in group if other != host]:
        known[other]["dispatches_to"] = dispatches(other, hostvars[other], known[other]["agent_name"], left)
    return known


def served_by(reading: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    return str((reading.get("release") or {}).get("agent_name") or known["agent_name"])


def ids_on(reading: Mapping[str, Any]) -> list[str]:
    return probes.own_ids([reading], reading.get("states") or {})


def unproven(asked: Mapping[str, Any], host: str, playbooks: Playbooks | None = None) -> str:
    """Why it is not known who serves a name of a host that was taken out; empty when it is."""
    probed = asked.get("probes") or {}
    lost = [str(answer.get("reason") or "no answer") for answer in probed.values() if answer.get("outcome") not in ("taken", "nobody")]
    lost = lost or ([] if probed else [str(asked.get("msg") or "nothing was asked")])
    if not lost:
        return ""
    return (
        f"found: who serves the agent name now is not known ({'; '.join(dict.fromkeys(lost))}), expected an answer of the LiveKit server. "
        f"{host} itself is done; ask again: {(playbooks or Playbooks()).start('remove.yml', remove_host=host)}"
    )
