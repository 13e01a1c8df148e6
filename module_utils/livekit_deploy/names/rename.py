# SPDX-License-Identifier: Apache-2.0
"""What became of an agent name that a host no longer serves, and who gets which share of a shared one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.commands import Playbooks
from ..diagnosis.types import ProbeAnswer, SipReading
from ..inventory import placement
from ..inventory.settings import read_settings
from ..play.run import LEFT, REMOVED, SHARERS, HostRun, Runs, host_asked
from ..proof import observations
from ..release import records
from ..release.adopted import claimed
from ..release.records import HostInfo
from ..worker.readings import NAME_VARIABLES
from .types import KnownHost, NameChange

TOKENS = "join tokens with an embedded dispatch to it may still be in use: they name the agent themselves"


def changes(runs: Runs, hosts: Sequence[str], planned: bool = False) -> dict[str, NameChange]:
    """The hosts of a run that serve another name than before, or one that is shared on purpose: name before, name now,
    whether shared. With ``planned`` those that will, if all goes well."""
    found: dict[str, NameChange] = {}
    for host in hosts:
        plan = runs[host].plan
        if not plan.get("changed") or not (planned or runs[host].ended):
            continue
        shared = rolled_back_to(runs[host]) == records.SHARED_NAME
        before, now = plan["agent_name_before"], plan["agent_name"]
        if shared or (before and before != now):
            found[host] = {"before": before if before != now else None, "now": now, "shared": shared}
    return found


def inventory(
    runs: Runs, group: Sequence[str], hosts: Sequence[str] = (), planned: bool = False
) -> dict[str, KnownHost]:
    """Of each host the name that it serves, every worker id it is known to have had, and which of the names that the
    run's ``hosts`` leave its API dispatches to."""
    known: dict[str, KnownHost] = {}
    left = successors(changes(runs, hosts, planned))
    for host in group:
        run = runs[host]
        readings = [claimed(reading, run.adopted) for reading in run.readings]
        states = {release: state for reading in readings for release, state in (reading.get("states") or {}).items()}
        name = run.agent_name()
        known[host] = {
            "agent_name": name,
            "worker_ids": observations.own_ids(readings, states),
            "dispatches_to": dispatches(run, name, left, planned),
        }
    return known


def successors(changed: Mapping[str, NameChange]) -> dict[str, list[str]]:
    """Map each name that hosts leave to those that they have instead; none after a removal."""
    found: dict[str, set[str]] = {}
    for change in changed.values():
        for name in names_before(change):
            found.setdefault(name, set()).update([str(change["now"])] if change["now"] else [])
    return {name: sorted(found[name]) for name in sorted(found)}


def former_names(changed: Mapping[str, NameChange]) -> list[str]:
    return sorted({name for change in changed.values() for name in names_before(change)})


def shared_names(changed: Mapping[str, NameChange]) -> list[str]:
    return sorted({str(change["now"]) for change in changed.values() if change["shared"]})


def hosts_leaving(name: str, changed: Mapping[str, NameChange]) -> list[str]:
    return [host for host, change in changed.items() if name in names_before(change)]


def dispatches(run: HostRun, own_name: str, left: Mapping[str, Sequence[str]], planned: bool = False) -> dict[str, str]:
    """By each name that is left and that the host's API dispatches to, how it is told of: the name is its own, or a
    variable has it, told as a mere possibility where the inventory's values are not what serves there."""
    if not placement.has_api(run.variables):
        return {}
    values, back = environment_of_api(run.variables), rolled_back_to(run)
    released = releases_the_inventory(run, planned)
    found = {}
    for name, instead in left.items():
        old = variables_with(values, [name])
        new = [] if released else variables_with(values, instead)
        if own_name == name:
            found[name] = f"the API of {run.name}"
        # A kept one brings its own variables back; under the shared name they stay.
        elif old and back != records.RELEASE:
            found[name] = f"the API of {run.name} (its {', '.join(old)})"
        elif old or new:
            listed = ", ".join(f"{variable} is {values[variable]}" for variable in old or new)
            found[name] = (
                f"maybe the API of {run.name} (its {listed} in the inventory, "
                "which is not what this run releases there)"
            )
    return found


def rolled_back_to(run: HostRun) -> str | None:
    """Return the kind of a rollback; None where it is none."""
    purpose = run.plan.get("rolled_back")
    return purpose.get("kind") if purpose else None


def releases_the_inventory(run: HostRun, planned: bool) -> bool:
    """Whether what the inventory says is what serves on the host, or is about to."""
    return bool(run.plan) and not rolled_back_to(run) and (planned or not run.replaces or run.ended)


def variables_with(values: Mapping[str, str], wanted: Sequence[str]) -> list[str]:
    return [variable for variable, value in values.items() if value in wanted]


def environment_of_api(variables: Mapping[str, Any]) -> dict[str, str]:
    """What the inventory gives the API beside its name: no secret, and nothing that needs what only the role knows."""
    given = readable(variables, "agent_api_env")
    names = [name for name in given if name not in NAME_VARIABLES] if isinstance(given, Mapping) else []
    return {str(name): str(value) for name in names if isinstance(value := readable(given, name), str)}


def readable(values: Mapping[str, Any], name: str) -> Any:
    try:
        return values[name]
    except Exception:  # it is not there, or a templating error, which have no common public type
        return None


def names_before(change: NameChange) -> list[str]:
    """Return the names that a host no longer serves: one after a rename, maybe several after a removal."""
    before = change["before"] or []
    return [before] if isinstance(before, str) else [str(name) for name in before]


def questions(changed: Mapping[str, NameChange], samples: int, spacing_seconds: float) -> list[dict[str, Any]]:
    """Return one probe to each former name, and so many to each shared one.

    A worker with the hook answers it; the job of any other is ended.
    """
    common = {"kind": "probe", "mode": "answer", "expect": "job"}
    spaced = {"count": samples, "spacing_seconds": spacing_seconds, **common}
    former = [{"id": f"{name}/former", "agent_name": name, **common} for name in former_names(changed)]
    return former + [{"id": f"{name}/share", "agent_name": name, **spaced} for name in shared_names(changed)]


def rename_notes(
    changed: Mapping[str, NameChange],
    known: Mapping[str, KnownHost],
    answers: Mapping[str, ProbeAnswer],
    sip: SipReading,
) -> list[str]:
    """Return what is shown at the end of the run, a line each."""
    whose = {worker_id: host for host, found in known.items() for worker_id in found["worker_ids"]}
    lines = []
    for name in former_names(changed):
        fate = former_name_fate(answers.get(f"{name}/former") or ProbeAnswer(), whose)
        lines.append(f"{', '.join(hosts_leaving(name, changed))} no longer serves {name}: {fate}")
        lines += dispatcher_lines(name, known, sip)
    for name in shared_names(changed):
        of_name = {key: answer for key, answer in answers.items() if key.startswith(f"{name}/share")}
        lines.append(shares_text(name, of_name, whose))
    return lines


def dispatcher_lines(name: str, known: Mapping[str, KnownHost], sip: SipReading) -> list[str]:
    """Return what still dispatches to a name that was left, as far as is known."""
    rules = [rule for rule in sip.get("rules") or [] if name in rule["agents"]]
    users = [*apis_dispatching(name, known), *(f"SIP dispatch rule {rule['name'] or rule['id']}" for rule in rules)]
    lines = [f"  still dispatching to it: {', '.join(users) or 'nothing that the inventory knows'}; {TOKENS}"]
    return lines if sip.get("checked") else [*lines, f"  SIP dispatch rules were not read: {sip.get('reason')}"]


def apis_dispatching(name: str, known: Mapping[str, KnownHost]) -> list[str]:
    return [str(found["dispatches_to"][name]) for found in known.values() if name in (found.get("dispatches_to") or {})]


def rename_warnings(changed: Mapping[str, NameChange], known: Mapping[str, KnownHost]) -> list[str]:
    """Return what is said before hosts leave a name to which the API of another entry dispatches."""
    lines = []
    for name, instead in successors(changed).items():
        # One whose own name it is serves it itself.
        others = {host: found for host, found in known.items() if found["agent_name"] != name}
        if users := apis_dispatching(name, others):
            hosts = ", ".join(hosts_leaving(name, changed))
            leaves = f"about to leave the agent name {name}, to which something dispatches: {', '.join(users)}"
            lost = f"What it sends there then is lost unless others serve {name}"
            remedy = f"give it {' or '.join(instead)} in the same run, or leave {hosts} out (--limit)"
            lines.append(f"{hosts}: {leaves}. {lost}; {remedy}")
    return lines


def former_name_fate(answer: ProbeAnswer, whose: Mapping[str, str]) -> str:
    if answer.get("outcome") == "taken":
        taker = str(answer.get("worker_id"))
        return f"{taker} ({whose.get(taker, 'no host of this run')}) serves it"
    if answer.get("outcome") == "nobody":
        return "nobody serves it, dispatches to it are lost"
    return f"who serves it is not known ({answer.get('reason') or 'not asked'})"


def shares_text(name: str, answers: Mapping[str, ProbeAnswer], whose: Mapping[str, str]) -> str:
    """Say who took how many of the spaced probes."""
    taken = Counter(str(answer.get("worker_id")) for answer in answers.values() if answer.get("outcome") == "taken")
    parts = [f"{whose.get(worker_id, 'not ours')} {worker_id} {count}" for worker_id, count in taken.most_common()]
    lost = len(answers) - sum(taken.values())
    parts += [f"nobody {lost}"] if lost else []
    return f"of {len(answers)} spaced probes to {name}: {', '.join(parts) or 'none answered'}"


# --- a host that was taken out ---------------------------------------------------------------------------------------


def removal_refusal(group: Sequence[str], run: Sequence[str], host: str) -> str:
    """Return why nothing is removed; empty where it is clear from which host."""
    named, found = ", ".join(group), f"found remove_host={host}"
    if not host:
        return f"found no remove_host, expected the one host to take out. Say which: -e remove_host=<one of {named}>"
    if host not in group:
        return f"{found}, expected a host of the group agent_hosts ({named}). Correct the name: nothing was removed"
    if host not in run:
        return f"{found}, which --limit leaves out, expected it among the hosts of the run. Leave --limit out"
    return ""


def leaving(runs: Runs, host: str) -> dict[str, NameChange]:
    """As ``changes``: the names that the host's workers served; where nothing was left that of the inventory."""
    found = runs[host].result(REMOVED).get("removal") or {}
    names = [str(name) for name in found.get("agent_names") or []] or [
        read_settings(host, runs[host].variables)[0].agent_name
    ]
    return {host: {"before": [name for name in names if name], "now": None, "shared": False}}


def sharers(runs: Runs, group: Sequence[str], host: str) -> list[str]:
    """The other hosts that may serve such a name: by their own name, or rolled back to their shared one."""
    names = set(names_before(leaving(runs, host)[host]))
    known = {other: read_settings(other, runs[other].variables)[0] for other in group if other != host}
    return [other for other, one in known.items() if {one.agent_name, one.shared_name} & names]


def beside(runs: Runs, group: Sequence[str], host: str) -> dict[str, KnownHost]:
    """As ``inventory``, of the hosts that stay; and of each worker still on the host, which is not ours any more."""
    left, others = successors(leaving(runs, host)), [other for other in group if other != host]
    known = sharing_hosts(runs, host, others)
    for other in others:
        known[other]["dispatches_to"] = dispatches(runs[other], known[other]["agent_name"], left)
    return known | workers_left(runs[host])


def sharing_hosts(runs: Runs, host: str, others: Sequence[str]) -> dict[str, KnownHost]:
    """What the hosts that stay serve: as they were read where they may share a name, else as the inventory says."""
    known: dict[str, KnownHost] = {
        other: {"agent_name": read_settings(other, runs[other].variables)[0].agent_name, "worker_ids": []}
        for other in others
    }
    for read in runs[host].result(SHARERS).get("results") or []:
        other = host_asked(read)
        if read.get("workers") is not None and other in known:
            reading = claimed(read, read.get("adopted"))
            known[other] = {"agent_name": served_by(reading, known[other]), "worker_ids": ids_on(reading)}
    return known


def workers_left(run: HostRun) -> dict[str, KnownHost]:
    """Return the workers that still run on a host that was taken out."""
    running = [one for one in run.result(LEFT).get("workers") or [] if one.get("running")]
    return {left_worker(one, run.name): {"agent_name": "", "worker_ids": ids_of_worker(one)} for one in running}


def left_worker(worker: Mapping[str, Any], host: str) -> str:
    project = f" of compose project {worker['project']}" if worker.get("project") else ""
    return f"{worker['container']}{project} on {host}, not ours"


def ids_of_worker(worker: Mapping[str, Any]) -> list[str]:
    return [one for one in [*(worker.get("worker_ids") or []), worker.get("worker_id")] if one]


def served_by(reading: HostInfo, known: KnownHost) -> str:
    return str((reading.get("release") or {}).get("agent_name") or known["agent_name"])


def ids_on(reading: HostInfo) -> list[str]:
    return observations.own_ids([reading], reading.get("states") or {})


def successor_failure(asked: Mapping[str, Any], host: str, playbooks: Playbooks | None = None) -> str:
    """Return why it is not known who serves a name of a host that was taken out; empty when it is."""
    probed: dict[str, ProbeAnswer] = asked.get("probes") or {}
    lost = [answer for answer in probed.values() if answer.get("outcome") not in ("taken", "nobody")]
    reasons = [str(answer.get("reason") or "no answer") for answer in lost]
    if not probed:
        reasons = [str(asked.get("msg") or "nothing was asked")]
    if not reasons:
        return ""
    again = (playbooks or Playbooks()).start("remove.yml", remove_host=host)
    found = f"found: who serves the agent name now is not known ({'; '.join(dict.fromkeys(reasons))})"
    return f"{found}, expected an answer of the LiveKit server. {host} itself is done; ask again: {again}"
