# SPDX-License-Identifier: Apache-2.0
"""What became of an agent name that a host no longer serves, and who gets which share of one that is shared on purpose. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.livekit_deploy import adoption, probes

TOKENS = "join tokens with an embedded dispatch to it may still be in use: they name the agent themselves"


def changes(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The hosts of a run that serve another name than before, or one that is shared on purpose: name before, name now, whether shared."""
    found = {}
    for host in hosts:
        plan = probes.plan_of(hostvars[host])
        if not plan.get("changed") or not probes.ended(hostvars[host]):
            continue
        shared = (plan.get("rolled_back") or {}).get("kind") == probes.SHARED_NAME
        before, now = plan["agent_name_before"], plan["agent_name"]
        if shared or (before and before != now):
            found[host] = {"before": before if before != now else None, "now": now, "shared": shared}
    return found


def inventory(hostvars: Mapping[str, Any], group: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of each host the name that its API dispatches to, and every worker id it is known to have had."""
    known = {}
    for host in group:
        variables = hostvars[host]
        readings = [variables[name] for name in (*probes.READINGS, probes.WITNESS) if probes.registered(variables, name, "workers")]
        adopted = probes.adopted_of(variables)
        readings = [adoption.claimed(reading, adopted) for reading in readings]
        states = {release: state for reading in readings for release, state in (reading.get("states") or {}).items()}
        known[host] = {"agent_name": probes.name_of(variables), "worker_ids": probes.own_ids(readings, states)}
    return known


def questions(changed: Mapping[str, Mapping[str, Any]], samples: int, spacing_seconds: float) -> list[dict[str, Any]]:
    """One probe to each former name, so many to each shared one. A worker with the hook answers it; the job of any other is ended."""
    former = sorted({str(change["before"]) for change in changed.values() if change["before"]})
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
    for name in sorted({str(change["before"]) for change in changed.values() if change["before"]}):
        hosts = [host for host, change in changed.items() if change["before"] == name]
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
    users = [f"the API of {host}" for host, found in known.items() if found["agent_name"] == name and host not in hosts]
    users += [f"SIP dispatch rule {rule['name'] or rule['id']}" for rule in sip.get("rules") or [] if name in rule["agents"]]
    lines = [f"{', '.join(hosts)} no longer serves {name}: {fate(answer, whose)}"]
    lines.append(f"  still dispatching to it: {', '.join(users) or 'nothing that the inventory knows'}; {TOKENS}")
    if not sip.get("checked"):
        lines.append(f"  SIP dispatch rules were not read: {sip.get('reason')}")
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
