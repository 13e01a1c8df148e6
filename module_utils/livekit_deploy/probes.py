"""Which probes a run sends, and what its hosts observed: built from the variables that the hosts' tasks registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# The newest of these that a host has is its first reading: after a switch the old one no longer holds.
READINGS = ("__verification_read", "__agent_release_switched", "__agent_release_state")
BEHIND_THE_GATE = ("staged", "draining", "abandoned")
WITNESS = "__verification_witness"


def registered(variables: Mapping[str, Any], name: str, key: str) -> dict[str, Any] | None:
    """A registered result that has ``key``; None when the task did not run, was skipped or failed."""
    found = variables.get(name)
    return found if isinstance(found, Mapping) and found.get(key) is not None else None  # type: ignore[return-value]


def reading_of(variables: Mapping[str, Any]) -> dict[str, Any]:
    return next((found for name in READINGS if (found := registered(variables, name, "workers"))), {})


def tagged_images(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    """The images of all hosts that are named by a tag and not by a digest."""
    images = {str(hostvars[host][name]) for host in hosts for name in ("livekit_agent_image", "agent_api_image")}
    return sorted(image for image in images if "@sha256:" not in image)


def standby_probes(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[dict[str, Any]]:
    """One directed probe for each host whose new worker is registered, with its gate still closed."""
    probes = []
    for host in hosts:
        found = registered(hostvars[host], "__livekit_agent_worker", "workers")
        if found and len(found["workers"]) == 1:
            worker = found["workers"][0]
            probes.append(directed(host, worker["agent_name"], worker["instance"]))
    return probes


def directed(host: str, agent_name: str, instance: str) -> dict[str, Any]:
    return {"id": f"{host}/directed", "mode": "answer_if", "agent_name": agent_name, "instance": instance}


def through_probes(hostvars: Mapping[str, Any], hosts: Sequence[str], others: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """For each name one probe that our instances pass on. The others of a pool are ours, too, also outside the run."""
    instances: dict[str, list[str]] = {}
    readings = [(host, reading_of(hostvars[host])) for host in hosts]
    readings += [(str(entry["__verification_host"]), dict(entry)) for entry in others]
    for host, found in readings:
        if found.get("release"):
            instances.setdefault(str(hostvars[host]["livekit_agent_name"]), []).append(f"{host}/{found['release']['id']}")
    common = {"mode": "pass", "expect": "nobody"}
    return [{"id": f"{name}/through", "agent_name": name, "instances": ours, **common} for name, ours in sorted(instances.items())]


def verification_probes(
    hostvars: Mapping[str, Any], hosts: Sequence[str], preview: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """All probes of a verification: that a random name finds nobody, for each name one that our workers pass on, and for each host a
    directed one and a preview.

    ``preview`` has ``enabled``, ``port``, ``path``, ``deadline_seconds``; a host's own ``verification_preview_url`` comes first.
    """
    probes: list[dict[str, Any]] = [{"id": "nobody", "expect": "nobody"}]
    probes += through_probes(hostvars, hosts, others)
    for host in hosts:
        variables = hostvars[host]
        release = reading_of(variables).get("release")
        if not release:
            continue
        probes.append(directed(host, str(variables["livekit_agent_name"]), f"{host}/{release['id']}"))
        if preview["enabled"]:
            address = variables.get("ansible_host") or host
            url = variables.get("verification_preview_url") or f"http://{address}:{preview['port']}{preview['path']}"
            probes.append(
                {
                    "id": f"{host}/preview",
                    "kind": "preview",
                    "deadline_seconds": preview["deadline_seconds"],
                    "request": {"url": str(url)},
                }
            )
    return probes


def pool_of(hostvars: Mapping[str, Any], host: str) -> str:
    return str(hostvars[host].get("livekit_agent_pool") or host)


def outside(hostvars: Mapping[str, Any], group: Sequence[str], hosts: Sequence[str]) -> list[str]:
    """Hosts of the inventory that share a pool with one of ``hosts`` and are not among them: their worker ids are ours, too."""
    pools = {pool_of(hostvars, host) for host in hosts}
    return [host for host in group if host not in hosts and pool_of(hostvars, host) in pools]


def in_charge(reading: Mapping[str, Any], states: Mapping[str, str]) -> dict[str, Any]:
    """A reading without the workers whose gate is closed by record: they are not in charge of a call, and they are stopped last."""
    workers = [w for w in reading["workers"] if states.get(w.get("release") or "") not in BEHIND_THE_GATE]
    return {"time": reading.get("time"), "workers": workers}


def own_ids(readings: Sequence[Mapping[str, Any]], states: Mapping[str, str]) -> list[str]:
    """Every id that a worker of one of our releases on this host has or had, so also a draining one's and those before a reconnect."""
    workers = [worker for reading in readings for worker in reading["workers"] if (worker.get("release") or "") in states]
    return sorted({i for worker in workers for i in [*worker.get("worker_ids", []), worker.get("worker_id")] if i})


def observations(hostvars: Mapping[str, Any], hosts: Sequence[str], others: Sequence[Mapping[str, Any]] = ()) -> dict[str, dict[str, Any]]:
    """What ``deployment_verdict_info`` decides on: each host of the run, and ``others``, the loop results of reading the hosts that
    share a pool with one of them (an entry without ``workers`` could not be read)."""
    result = {host: observed(hostvars, host) for host in hosts}
    for entry in others:
        host = str(entry["__verification_host"])
        readable = entry.get("workers") is not None
        states = (entry.get("states") or {}) if readable else {}
        result[host] = {
            "agent_name": str(hostvars[host]["livekit_agent_name"]),
            "pool": pool_of(hostvars, host),
            "outside": True,
            "readable": readable,
            "readings": [entry] if readable else [],
            "own_ids": own_ids([entry], states) if readable else [],
        }
    return result


def observed(hostvars: Mapping[str, Any], host: str) -> dict[str, Any]:
    variables = hostvars[host]
    first, witness = reading_of(variables), registered(variables, WITNESS, "workers")
    release, states = first.get("release"), first.get("states", {})
    readings = [reading for reading in (first, witness) if reading]
    return {
        "agent_name": str(variables["livekit_agent_name"]),
        "pool": pool_of(hostvars, host),
        "release": release["id"] if release else None,
        "readings": [in_charge(reading, states) for reading in readings],
        "own_ids": own_ids(readings, states),
        "services": first.get("services", {}),
        "drift": first.get("drift"),
        "error": trouble_of_readings(variables),
    }


def trouble_of_readings(variables: Mapping[str, Any]) -> str:
    """Why a reading of the host is missing, in the words of its module; empty when none is."""
    found = {name: variables[name] for name in ("__verification_read", WITNESS) if isinstance(variables.get(name), Mapping)}
    lost = [
        str(result.get("msg") or "no answer") for result in found.values() if not result.get("skipped") and result.get("workers") is None
    ]
    return "; ".join(dict.fromkeys(lost))
