"""Which probes a run sends, and what its hosts observed: built from the variables that the hosts' tasks registered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ..common import ids, values
from ..common.commands import Playbooks
from ..inventory import environment, preview
from ..inventory.problems import IMAGES
from ..livekit.outcomes import MEDIA, NOT_REACHED
from ..play import access, run
from ..release.adopted import claimed
from ..release.records import API, SHARED_NAME, ids_in_order, record_services
from ..worker.worker_log import NODE_REMEDY

BEHIND_THE_GATE = ("staged", "draining", "abandoned")
ASKED = "__verification_asked"
WITNESS = "__verification_witness"
# On a name that others have on purpose a directed probe may be taken by one of them: so many are tried.
SHARED_TRIES = 12
# A new worker may be too busy with its own start to be offered the first one.
NEW_TRIES = 2
CANDIDATE = "__agent_release_candidate_worker"
REHEARSAL_SECONDS = 20.0
HOOK_REMEDY = "Either another worker has the name ({diagnose}), or this one does not ask the probe hook first (see probe_hook/README.md)"
REHEARSAL_REMEDY = (
    "Read the worker's last lines below: look for an exception in the entrypoint. One that needs metadata gets it by "
    "livekit_agent_rehearsal_metadata; one that cannot run without a caller: livekit_agent_rehearsal=false"
)
SLOT_REMEDY = "Correct the API, or verification_preview; an API that has no preview: verification_preview=false"


def tagged_images(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    """The images of all hosts that are named by a tag and not by a digest; those of archives are known by their ids."""
    images = {
        image
        for host in hosts
        for image in (str(hostvars[host][name]) for name in IMAGES)
        if image and image not in (hostvars[host].get("agent_release_image_archives") or {})
    }
    return sorted(image for image in images if "@sha256:" not in image)


def digests(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> dict[str, Any]:
    """What the tags of a run were resolved to, by the first host that could; else why none could. The same for all hosts."""
    results = [hostvars[host].get(name) for name in ("__agent_release_digests_once", "__agent_release_digests_each") for host in hosts]
    found = [result for result in results if isinstance(result, Mapping) and not result.get("skipped")]
    return next((dict(result) for result in found if result.get("digests") is not None), dict(found[-1]) if found else {})


def hook_of(variables: Mapping[str, Any], outside: Mapping[str, Any] | None = None) -> bool:
    """Whether all workers of ours on a host ask the hook: as its inventory says, and as the record says of the release that is about to be
    replaced, whose worker runs beside the new one, or of the one that ``outside`` read on a host that is not in this run."""
    reading = (
        outside
        if outside is not None
        else run.registered(variables, "__agent_release_state", "workers")
        if run.replaced(variables)
        else None
    )
    release, name = (reading or {}).get("release") or {}, run.name_of(variables, outside)
    # Under another name it gets nothing that is sent to this one.
    before = release.get("hook", True) or release.get("agent_name", name) != name
    wanted: Any = boolean(variables.get("livekit_agent_hook", True), strict=False)
    if run.purpose_of(variables, outside):
        wanted = run.plan_of(variables).get("hook", ((outside or run.reading_of(variables)).get("release") or {}).get("hook", True))
    return bool(wanted and before)


def served_names(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    return sorted({run.name_of(hostvars[host]) for host in hosts})


def sampled_names(hostvars: Mapping[str, Any], hosts: Sequence[str], others: Sequence[Mapping[str, Any]] = ()) -> set[str]:
    """Names with a worker that has no hook. It would take a probe that is directed at another, so all of the name are sampled."""
    outside = {str(entry["__verification_host"]): entry for entry in others}
    inside = [host for host in hosts if host not in outside]
    names = {run.name_of(hostvars[host]) for host in inside if not hook_of(hostvars[host])}
    return names | {run.name_of(hostvars[host], entry) for host, entry in outside.items() if not hook_of(hostvars[host], entry)}


def hooked(hostvars: Mapping[str, Any], group: Sequence[str], hosts: Sequence[str], others: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Those of ``hosts`` that a directed probe can reach: every worker of their name asks the hook."""
    sampled = sampled_names(hostvars, group, others)
    return [host for host in hosts if run.name_of(hostvars[host]) not in sampled]


def is_standby(variables: Mapping[str, Any]) -> bool:
    """Whether the new worker of a host waits behind its gate; else it takes calls from its registration on."""
    return bool(run.plan_of(variables).get("gated", True)) and not run.plan_of(variables).get("candidate")


def new_worker(variables: Mapping[str, Any], name: str = "__livekit_agent_worker") -> dict[str, Any] | None:
    """The one worker that was started and is registered."""
    found = run.registered(variables, name, "workers")
    # One that did not register in time is in the answer that says so, and would spoil the probes of all other hosts.
    return dict(found["workers"][0]) if found and not found.get("failed") and len(found["workers"]) == 1 else None


def standby_probes(hostvars: Mapping[str, Any], group: Sequence[str], hosts: Sequence[str]) -> list[dict[str, Any]]:
    """For each host whose new worker is registered with its gate still closed: one directed probe, and a job that only it takes."""
    probes = []
    for host in hooked(hostvars, group, hosts):
        worker = new_worker(hostvars[host])
        if worker and is_standby(hostvars[host]):
            probes.append(directed(hostvars[host], host, worker["agent_name"], worker["instance"], NEW_TRIES, process_of(worker)))
            probes += rehearsals(hostvars[host], host, worker)
    return probes


def candidate_probes(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[dict[str, Any]]:
    """The same for each worker that runs under a candidate name; without the hook it takes the job because nothing else has that name."""
    probes = []
    for host in [host for host in hosts if not is_standby(hostvars[host])]:
        if worker := new_worker(hostvars[host], CANDIDATE):
            if run.plan_of(hostvars[host]).get("hook", True):
                probes.append(directed(hostvars[host], host, worker["agent_name"], worker["instance"], NEW_TRIES, process_of(worker)))
            probes += rehearsals(hostvars[host], host, worker)
    return probes


def rehearsals(variables: Mapping[str, Any], host: str, worker: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A real job for one worker. On a shared name others would take it, and what runs under it was proven before."""
    wanted: Any = boolean(variables.get("livekit_agent_rehearsal", True), strict=False)
    if not wanted or run.purpose_of(variables).get("kind") == SHARED_NAME:
        return []
    about = {"agent_name": worker["agent_name"], "instance": worker["instance"]}
    deadline = float(variables.get("verification_preview_deadline_seconds") or REHEARSAL_SECONDS)
    more = {"metadata": metadata_of(variables), "deadline_seconds": deadline, "tries": NEW_TRIES}
    return [{"id": f"{host}/rehearsal", "kind": "rehearsal", **about, **more}]


def metadata_of(variables: Mapping[str, Any]) -> str:
    """What a job has to have so that the worker's entrypoint can do it."""
    return json.dumps(variables.get("livekit_agent_rehearsal_metadata") or {})


def rehearsal_problems(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    """Hosts whose metadata for a rehearsal cannot be sent: found before anything is touched, and not in the middle."""
    problems = []
    for host in hosts:
        try:
            given = hostvars[host].get("livekit_agent_rehearsal_metadata") or {}
            read = [f"{host}: {one}" for one in environment.untextual(given, "livekit_agent_rehearsal_metadata")]
            problems += [f"{one}, expected a text: {values.QUOTES}" for one in read]
            json.dumps(None if read else given)
        except Exception:
            problems.append(f"{host}: livekit_agent_rehearsal_metadata cannot be written as JSON, expected a plain dict. Correct it")
    return problems


def may_be_ours(hostvars: Mapping[str, Any], host: str, worker_id: str | None) -> bool:
    """Whether an id is known to be of a worker of ours, or may be of one on a host of the same pool that this run has not read yet."""
    if not worker_id:
        return False
    pool = [other for other in hostvars if other != host and pool_of(hostvars, other) == pool_of(hostvars, host)]
    return worker_id in ids_of_all(hostvars, list(hostvars)) or any(run.latest(hostvars[other]) is None for other in pool)


def standby_trouble(
    hostvars: Mapping[str, Any],
    host: str,
    sent: Sequence[Mapping[str, Any]],
    answered: Mapping[str, Any],
    playbooks: Playbooks | None = None,
) -> str:
    """Why a host's new worker must not get calls; empty when all that was sent for it came out right. ``answered`` is the result of
    sending the probes."""
    worker = new_worker(hostvars[host], "__livekit_agent_worker" if is_standby(hostvars[host]) else CANDIDATE) or {}
    for probe in sent:
        if probe["id"] not in (f"{host}/directed", f"{host}/rehearsal"):
            continue
        unsent = {"worker_id": None, "reason": answered.get("msg") or "no probe was sent"}
        answer = (answered.get("probes") or {}).get(probe["id"]) or unsent
        if answer["worker_id"] != worker.get("worker_id"):
            if probe.get("kind") == "rehearsal" and may_be_ours(hostvars, host, answer["worker_id"]):
                continue  # an earlier worker of ours, from before its hook knew rehearsals, took it for a call: nothing is proven by it
            what = "rehearsal" if probe.get("kind") == "rehearsal" else "probe"
            diagnose = (playbooks or Playbooks()).start("diagnose.yml")
            return (
                f"found: the {what} sent to {probe['agent_name']} for {probe['instance']} got {answer['worker_id'] or answer['reason']}, "
                f"expected worker {worker.get('worker_id')} of this host. "
                f"{NODE_REMEDY if worker.get('sdk') == 'node' else HOOK_REMEDY.format(diagnose=diagnose)}"
            )
        if probe.get("kind") == "rehearsal" and not answer.get("in_room"):
            media = preview.media_remedy(host, str(worker.get("url") or "")) if answer.get("error_kind") == MEDIA else ""
            remedy = media or REHEARSAL_REMEDY
            return f"found: the rehearsal failed ({answer['reason']}), expected that the agent stays in its room. {remedy}"
    return ""


def slot_previews(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[dict[str, Any]]:
    """What each new API answered in its free slot: it has to have dispatched to the release's name."""
    probes = []
    for host in hosts:
        found, plan = run.registered(hostvars[host], "__agent_api_preview", "status"), run.plan_of(hostvars[host])
        if found and run.replaced(hostvars[host]):
            answer = {"status": int(found["status"]), "text": str(found.get("content") or found.get("msg") or "")}
            request = {**preview.of(hostvars[host], host).request(), "headers": {}, "url": str(found.get("url") or "the API")}
            about = {"agent_name": plan["agent_name"], "request": request, "answer": answer}
            probes.append({"id": f"{host}/slot", "kind": "preview", "expect": "dispatch", **about})
    return probes


def slot_trouble(hostvars: Mapping[str, Any], host: str, answered: Mapping[str, Any]) -> str:
    """Why the proxy must not be pointed to a host's new API."""
    if not slot_previews(hostvars, [host]):
        return ""
    unsent = {"reason": answered.get("msg") or "its answer was not looked at"}
    answer = (answered.get("probes") or {}).get(f"{host}/slot") or unsent
    if answer.get("outcome") == "dispatched":
        return ""
    wanted = run.plan_of(hostvars[host])["agent_name"]
    return f"found: the new API's preview: {answer['reason']}. Expected: a dispatch to {wanted!r}. {SLOT_REMEDY}"


def process_of(worker: Mapping[str, Any]) -> str:
    """What a worker's probe hook has drawn when its process started, empty where it is not known: a copy of the host has another one."""
    return str(worker.get("hook_process") or "")


def directed(variables: Mapping[str, Any], host: str, agent_name: str, instance: str, tries: int = 1, process: str = "") -> dict[str, Any]:
    times = SHARED_TRIES if run.purpose_of(variables).get("kind") == SHARED_NAME else tries
    again = {"tries": times} if times > 1 else {}
    one = {"process": process} if process else {}
    return {"id": f"{host}/directed", "mode": "answer_if", "agent_name": agent_name, "instance": instance, **one, **again}


def with_others(hostvars: Mapping[str, Any], hosts: Sequence[str], others: Sequence[Mapping[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Each host with its reading, also those that share a pool with one of the run."""
    readings = [(host, run.reading_of(hostvars[host])) for host in hosts]
    return readings + [(str(entry["__verification_host"]), dict(entry)) for entry in others]


def through_probes(hostvars: Mapping[str, Any], hosts: Sequence[str], others: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """For each name one probe that our instances pass on. The others of a pool are ours, too, also outside the run, and so are workers of
    earlier releases that still run: not every one has its gate closed."""
    readings = with_others(hostvars, hosts, others)
    sampled = sampled_names(hostvars, hosts, others)
    instances: dict[str, list[str]] = {}
    for host, found in readings:
        name = run.name_of(hostvars[host], found)
        if found.get("release") and name not in sampled:
            ours = instances.setdefault(name, [])
            ours += dict.fromkeys([f"{host}/{found['release']['id']}", *earlier_instances(found, name)])
            ours += processes(found, ours)
    common = {"mode": "pass", "expect": "nobody"}
    return [{"id": f"{name}/through", "agent_name": name, "instances": named, **common} for name, named in sorted(instances.items())]


def processes(reading: Mapping[str, Any], instances: Sequence[str]) -> list[str]:
    """The running processes of these instances, as far as they are known: where one is named, a copy with its instance is a stranger."""
    running = [worker for worker in reading.get("workers") or [] if worker.get("running") and worker.get("instance") in instances]
    return sorted({f"{worker['instance']}#{process_of(worker)}" for worker in running if process_of(worker)})


def earlier_instances(reading: Mapping[str, Any], name: str) -> list[str]:
    states = reading.get("states") or {}
    ours = [worker for worker in reading.get("workers") or [] if worker.get("release") in states and worker.get("agent_name") == name]
    return sorted(str(worker["instance"]) for worker in ours if worker.get("running") and worker.get("instance"))


def sample_probes(
    hostvars: Mapping[str, Any], hosts: Sequence[str], sampling: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Plain dispatches to each name that no probe can be directed in: so many for each worker of ours that takes them."""
    readings = with_others(hostvars, hosts, others)
    probes = []
    for name in sorted(sampled_names(hostvars, hosts, others)):
        mine = [found for host, found in readings if run.name_of(hostvars[host], found) == name and found.get("release")]
        count = int(sampling["samples"]) * sum(taking(found, found.get("states") or {}) for found in mine)
        if count > 0:
            spacing = {"count": count, "spacing_seconds": float(sampling["spacing_seconds"])}
            metadata = next((metadata_of(hostvars[host]) for host, found in readings if run.name_of(hostvars[host], found) == name), "{}")
            probes.append({"id": f"{name}/sample", "kind": "plain", "agent_name": name, "metadata": metadata, **spacing})
    return probes


def verification_probes(
    hostvars: Mapping[str, Any],
    hosts: Sequence[str],
    deadline_seconds: float | None,
    sampling: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """All probes of a verification: that a random name finds nobody; for each name one that our workers pass on, or samples; for each
    host a preview, and a directed probe where its name is not sampled.

    ``deadline_seconds`` is that of the previews; None: none is sent.
    ``sampling`` has ``samples`` and ``spacing_seconds``.
    """
    probes: list[dict[str, Any]] = [{"id": "nobody", "expect": "nobody"}]
    probes += through_probes(hostvars, hosts, others) + sample_probes(hostvars, hosts, sampling, others)
    reached = hooked(hostvars, hosts, hosts, others)
    for host in [host for host in hosts if not run.left_behind(hostvars[host])]:
        release = run.reading_of(hostvars[host]).get("release")
        if release and host in reached:
            instance = f"{host}/{release['id']}"
            process = next((one.partition("#")[2] for one in processes(run.reading_of(hostvars[host]), [instance])), "")
            probes.append(directed(hostvars[host], host, run.name_of(hostvars[host]), instance, process=process))
        if release and API in record_services(release) and deadline_seconds and preview.wanted(hostvars[host]):
            probes.append(preview_probe(hostvars[host], host, deadline_seconds))
    return probes


def preview_probe(variables: Mapping[str, Any], host: str, deadline_seconds: float) -> dict[str, Any]:
    """The agent stays in the room until the last line of its log is due. One dispatch that a worker refuses, because it is busy for a
    moment, is no verdict."""
    stay = max((one.deadline_seconds for one in preview.patterns(variables)), default=0.0)
    about = {
        "agent_name": run.name_of(variables),
        "request": preview.of(variables, host).request(),
        "stay_seconds": stay,
        "tries": NEW_TRIES,
    }
    return {"id": f"{host}/preview", "kind": "preview", "deadline_seconds": deadline_seconds, **about}


# --- an API that the controller does not reach ---


def unreached(hostvars: Mapping[str, Any], hosts: Sequence[str], answers: Mapping[str, Any]) -> list[str]:
    """Hosts whose preview got no connection from the controller: behind a bastion, a firewall, or a name that only ssh knows."""
    found = {host: answers.get(f"{host}/preview") or {} for host in hosts if host in hostvars}
    return [host for host, answer in found.items() if answer.get("error_kind") == NOT_REACHED]


def own_previews(
    hostvars: Mapping[str, Any], hosts: Sequence[str], answers: Mapping[str, Any], deadline_seconds: float
) -> list[dict[str, Any]]:
    """The same previews again, with the answers that the hosts themselves got: what became of each is looked at on the controller."""
    probes = []
    for host in unreached(hostvars, hosts, answers):
        found = run.registered(hostvars[host], ASKED, "status")
        if found and found["status"]:
            probe = preview_probe(hostvars[host], host, deadline_seconds)
            request = {**probe["request"], "headers": {}, "url": f"{found['url']} on {host}"}
            answer = {"status": int(found["status"]), "text": str(found.get("content") or "")}
            probes.append({**probe, "request": request, "answer": answer, "tries": 1})
    return probes


def preview_answers(
    hostvars: Mapping[str, Any], hosts: Sequence[str], answers: Mapping[str, Any], again: Mapping[str, Any]
) -> dict[str, Any]:
    """All answers, with those to the previews that hosts sent themselves in the place of those that got no connection."""
    asked = {host: answers[f"{host}/preview"] for host in unreached(hostvars, hosts, answers)}
    return {**answers, **{f"{host}/preview": own_answer(hostvars[host], host, first, again) for host, first in asked.items()}}


def own_answer(variables: Mapping[str, Any], host: str, first: Mapping[str, Any], again: Mapping[str, Any]) -> dict[str, Any]:
    seen = str(first.get("reason")).partition("; expected")[0]
    if second := again.get(f"{host}/preview"):
        return {**second, "from_host": seen}
    found = run.registered(variables, ASKED, "status") or {}
    own = found.get("content") or (variables.get(ASKED) or {}).get("msg") or "it was not asked"
    return {**first, "reason": f"no connection from the controller ({seen}), and none from {host} itself ({own})"}


# --- before the first worker of a name ---


def vacancy_probes(hostvars: Mapping[str, Any], group: Sequence[str]) -> list[dict[str, Any]]:
    """One probe that must find nobody, for each name that no host of the inventory serves. Where a host of the name was not read in
    this run it may serve the name, so nothing is asked."""
    readings: dict[str, list[dict[str, Any]]] = {}
    for host in group:
        found = run.latest(hostvars[host])
        if run.purpose_of(hostvars[host]).get("kind") != SHARED_NAME:
            readings.setdefault(run.name_of(hostvars[host]), []).append(found or {})
    vacant = [name for name, found in readings.items() if name and all(found) and not any(serves(reading, name) for reading in found)]
    return [{"id": f"{name}/vacancy", "agent_name": name, "expect": "nobody"} for name in sorted(vacant)]


def serves(reading: Mapping[str, Any], name: str) -> bool:
    """Whether a worker of one of our releases runs under the name; its environment says so where its log no longer does."""
    ours = [worker for worker in reading["workers"] if worker.get("release") in reading.get("states", {}) and worker.get("running")]
    return any(name in (worker.get("agent_name"), (worker.get("env") or {}).get("LIVEKIT_AGENT_NAME")) for worker in ours)


def vacancy_trouble(
    hostvars: Mapping[str, Any],
    group: Sequence[str],
    host: str,
    answers: Mapping[str, Any],
    accept_inconclusive: bool = False,
    playbooks: Playbooks | None = None,
) -> str:
    """Why the first worker of a host's name must not start; empty when nobody else has the name, or it is not its first."""
    name = run.name_of(hostvars[host])
    if f"{name}/vacancy" not in [probe["id"] for probe in vacancy_probes(hostvars, group)]:
        return ""
    expected = f"expected that nobody has the name {name!r} before its first worker starts"
    answer = answers.get(f"{name}/vacancy") or {}
    taker = ids.worker(answer.get("worker_id")) or ""
    if answer.get("outcome") == "nobody" or (taker and taker in ids_of_all(hostvars, group)):
        return ""
    if answer.get("outcome") != "taken":
        found = f"found: {answer.get('reason') or 'no answer to the probe'}, {expected}. Run deploy.yml again"
        return "" if accept_inconclusive else f"{found}; to go on all the same: -e verification_accept_inconclusive=true"
    playbooks = playbooks or Playbooks()
    stop = playbooks.start("evict.yml", evict_worker=taker) if taker else f"{playbooks.start('evict.yml')} (shows who it is)"
    return (
        f"found: {taker or 'a worker'} has the name {name!r}, {expected}. Give the host another livekit_agent_name, or find that worker "
        f"({playbooks.start('diagnose.yml')}) and stop it: {stop}"
    )


def ids_of_all(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> set[str]:
    """Worker ids of all hosts that a deployment has read."""
    readings = [found for host in hosts if (found := run.latest(hostvars[host]))]
    return {worker_id for reading in readings for worker_id in own_ids([reading], reading.get("states") or {})}


# --- what was observed ---


def pool_of(hostvars: Mapping[str, Any], host: str, reading: Mapping[str, Any] | None = None) -> str:
    return pool_in(hostvars[host], host, reading)


def pool_in(variables: Mapping[str, Any], host: str, reading: Mapping[str, Any] | None = None) -> str:
    """Hosts of one pool share their jobs; those that were rolled back to a shared name do, whatever their pool is."""
    if run.purpose_of(variables, reading).get("kind") == SHARED_NAME:
        return f"shared name {run.name_of(variables, reading)}"
    return str(variables.get("livekit_agent_pool") or host)


def outside(hostvars: Mapping[str, Any], group: Sequence[str], hosts: Sequence[str]) -> list[str]:
    """Hosts of the inventory that share a pool with one of ``hosts`` and are not among them: their worker ids are ours, too. Where one
    serves a shared name, so may any other."""
    pools = {pool_of(hostvars, host) for host in hosts}
    shared = any(run.purpose_of(hostvars[host]).get("kind") == SHARED_NAME for host in hosts)
    return [host for host in group if host not in hosts and (shared or pool_of(hostvars, host) in pools)]


def in_charge(reading: Mapping[str, Any], states: Mapping[str, str]) -> dict[str, Any]:
    """A reading without the workers whose gate is closed by record: they are not in charge of a call, and they are stopped last."""
    workers = [w for w in reading["workers"] if states.get(w.get("release") or "") not in BEHIND_THE_GATE]
    return {"time": reading.get("time"), "workers": workers}


def behind_the_gate(reading: Mapping[str, Any], states: Mapping[str, str]) -> list[dict[str, Any]]:
    """The others of our releases. Without the hook a gate keeps no call from them."""
    return [w for w in reading.get("workers") or [] if states.get(w.get("release") or "") in BEHIND_THE_GATE]


def own_ids(readings: Sequence[Mapping[str, Any]], states: Mapping[str, str]) -> list[str]:
    """Every id that a worker of one of our releases on this host has or had, so also a draining one's and those before a reconnect."""
    return sorted(ids_in_order(readings, states))


def taking(reading: Mapping[str, Any], states: Mapping[str, str]) -> int:
    """How many workers of ours on a host take jobs that no gate keeps back: without the hook an old release's does until it drains."""
    ours = [worker for worker in reading.get("workers") or [] if (worker.get("release") or "") in states]
    return max(1, len([worker for worker in ours if worker.get("running") and not worker.get("draining")]))


def servers(hostvars: Mapping[str, Any], group: Sequence[str], url: str) -> list[str]:
    """Hosts of the LiveKit server of this run: those that say which one they are of and mean another are left out."""
    return [host for host in group if str(hostvars[host].get("livekit_url") or url).rstrip("/") == str(url).rstrip("/")]


def server_logs(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The loop results of ``livekit_server_log_info`` as ``deployment_verdict_info`` takes them."""
    keys = ("complete", "reason", "since", "workers", "time", "lines")
    told = [(entry, {"msg": said} if (said := access.said(entry)) else {}) for entry in results]
    return [{"host": entry["__verification_server"], **{key: entry[key] for key in keys if key in entry}, **msg} for entry, msg in told]


def known_ids(hostvars: Mapping[str, Any], hosts: Sequence[str], others: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Every id of a worker of ours, as far as the readings know."""
    found = [reading for _, reading in with_others(hostvars, hosts, others) if reading.get("workers") is not None]
    return sorted({worker_id for reading in found for worker_id in own_ids([reading], reading.get("states") or {})})


def observations(hostvars: Mapping[str, Any], hosts: Sequence[str], others: Sequence[Mapping[str, Any]] = ()) -> dict[str, dict[str, Any]]:
    """What ``deployment_verdict_info`` decides on: each host of the run, and ``others``, the loop results of reading the hosts that
    share a pool with one of them, before and after the probes (an entry without ``workers`` could not be read)."""
    behind = [host for host in hosts if run.left_behind(hostvars[host])]
    result = {host: observed(hostvars, host) for host in hosts if host not in behind}
    result |= {host: observed_outside(hostvars, host, [run.reading_of(hostvars[host])]) for host in behind}
    for host in dict.fromkeys(str(entry["__verification_host"]) for entry in others):
        result[host] = observed_outside(hostvars, host, [entry for entry in others if entry["__verification_host"] == host])
    return result


def observed_outside(hostvars: Mapping[str, Any], host: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    readings = [entry for entry in entries if entry.get("workers") is not None]
    states = {release: state for reading in readings for release, state in (reading.get("states") or {}).items()}
    latest = readings[-1] if readings else {}
    return {
        "agent_name": run.name_of(hostvars[host], latest),
        "pool": pool_of(hostvars, host, latest),
        "hook": hook_of(hostvars[host], readings[0] if readings else {}),
        "workers": taking(readings[-1], states) if readings else 1,
        "outside": True,
        "readable": bool(readings),
        "readings": readings,
        "own_ids": own_ids(readings, states),
    }


def observed(hostvars: Mapping[str, Any], host: str) -> dict[str, Any]:
    variables = hostvars[host]
    first, witness = run.reading_of(variables), run.registered(variables, WITNESS, "workers")
    if witness:  # it does not know of which release
        witness = claimed(witness, run.adopted_of(variables))
    release, states = first.get("release"), first.get("states", {})
    readings = [reading for reading in (first, witness) if reading]
    return {
        "agent_name": run.name_of(variables),
        "pool": pool_of(hostvars, host),
        "on_purpose": run.purpose_of(variables) or None,
        "hook": hook_of(variables),
        "workers": taking(first, states),
        "release": release["id"] if release else None,
        "readings": [in_charge(reading, states) for reading in readings],
        "behind": behind_the_gate(witness or {}, states),
        "own_ids": own_ids(readings, states),
        "services": first.get("services", {}),
        "adopted": bool((release or {}).get("adopted")),
        "parts": list(record_services(release or {})),
        "asks_preview": preview.wanted(variables),
        "log_patterns": {one.pattern: one.deadline_seconds for one in preview.patterns(variables)},
        "drift": first.get("drift"),
        "error": trouble_of_readings(variables),
    }


def trouble_of_readings(variables: Mapping[str, Any]) -> str:
    """Why a reading of the host is missing, in the words of its module; empty when none is."""
    found = {name: variables[name] for name in ("__verification_read", WITNESS) if isinstance(variables.get(name), Mapping)}
    lost = [access.said(result) or "no answer" for result in found.values() if not result.get("skipped") and result.get("workers") is None]
    return "; ".join(dict.fromkeys(lost))
