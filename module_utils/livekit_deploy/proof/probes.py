# SPDX-License-Identifier: Apache-2.0
"""Which probes a run sends, and why what came of them keeps a step from being made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

from ..common import ids
from ..common.commands import Playbooks
from ..inventory import preview
from ..livekit.outcomes import MEDIA, NOT_REACHED
from ..livekit.probe import ApiAnswer, ApiRequest, GivenProbe, ProbeResult
from ..play.run import ASKED, CANDIDATE, SLOT_PREVIEW, WORKER, Answer, HostRun, Runs, host_asked
from ..release.records import API, HostInfo, record_services
from ..worker.log_words import NODE_REMEDY
from ..worker.types import WorkerReading
from .observations import own_ids, taking, with_others

# On a name that others have on purpose a directed probe may be taken by one of them: so many are tried.
SHARED_TRIES = 12
# A new worker may be too busy with its own start to be offered the first one.
NEW_TRIES = 2
REHEARSAL_SECONDS = 20.0
# An equal worker is missed once in 4096 times.
UNMANAGED_SAMPLES = 12
HOOK_REMEDY = (
    "Either another worker has the name ({diagnose}), or this one does not ask the probe hook first "
    "(see probe_hook/README.md)"
)
REHEARSAL_REMEDY = (
    "Read the worker's last lines below: look for an exception in the entrypoint. One that needs metadata gets it by "
    "livekit_agent_rehearsal_metadata; one that cannot run without a caller: livekit_agent_rehearsal=false"
)
SLOT_REMEDY = "Correct the API, or verification_preview; an API that has no preview: verification_preview=false"


class Answered(TypedDict, total=False):
    """The result of sending probes."""

    probes: dict[str, ProbeResult]  # by the probe's id
    msg: str  # why none was sent


class Sampling(TypedDict, total=False):
    """How a name is sampled that no probe can be directed in."""

    samples: int  # for each worker of ours
    spacing_seconds: float
    shares: bool  # go on also when another worker took one


def served_names(runs: Runs, hosts: Sequence[str]) -> list[str]:
    return sorted({runs[host].agent_name() for host in hosts})


def sampled_names(runs: Runs, hosts: Sequence[str], others: Sequence[HostInfo] = ()) -> set[str]:
    """Names with a worker without a hook. It would take a probe directed at another, so all of the name are sampled."""
    outside = {host_asked(entry): entry for entry in others}
    inside = [host for host in hosts if host not in outside]
    names = {runs[host].agent_name() for host in inside if not runs[host].has_hook()}
    return names | {runs[host].agent_name(entry) for host, entry in outside.items() if not runs[host].has_hook(entry)}


def hooked(runs: Runs, group: Sequence[str], hosts: Sequence[str], others: Sequence[HostInfo] = ()) -> list[str]:
    """Those of ``hosts`` that a directed probe can reach: every worker of their name asks the hook."""
    sampled = sampled_names(runs, group, others)
    return [host for host in hosts if runs[host].agent_name() not in sampled]


def standby_probes(runs: Runs, group: Sequence[str], hosts: Sequence[str]) -> list[GivenProbe]:
    """For each host whose new worker is registered, its gate closed: a directed probe, and a job only it takes."""
    probes = []
    for host in hooked(runs, group, hosts):
        worker = runs[host].new_worker()
        if worker and runs[host].is_standby:
            probes.append(directed_at(runs[host], worker))
            probes += rehearsals(runs[host], worker)
    return probes


def candidate_probes(runs: Runs, hosts: Sequence[str]) -> list[GivenProbe]:
    """The same for each worker under a candidate name; without the hook it takes the job, as nothing else has it."""
    probes = []
    for host in [host for host in hosts if not runs[host].is_standby]:
        if worker := runs[host].new_worker(CANDIDATE):
            if runs[host].plan.get("hook", True):
                probes.append(directed_at(runs[host], worker))
            probes += rehearsals(runs[host], worker)
    return probes


def rehearsals(run: HostRun, worker: WorkerReading) -> list[GivenProbe]:
    """A real job for one worker. On a shared name others would take it, and what runs under it was proven before."""
    if not run.switch("livekit_agent_rehearsal", True) or run.serves_shared_name():
        return []
    return [
        {
            "id": f"{run.name}/rehearsal",
            "kind": "rehearsal",
            "agent_name": worker["agent_name"],
            "instance": worker["instance"] or "",
            "metadata": metadata_of(run),
            "deadline_seconds": float(run.setting("verification_preview_deadline_seconds") or REHEARSAL_SECONDS),
            "tries": NEW_TRIES,
        }
    ]


def metadata_of(run: HostRun) -> str:
    """What a job has to have so that the worker's entrypoint can do it."""
    return json.dumps(run.setting("livekit_agent_rehearsal_metadata") or {})


def may_be_ours(runs: Runs, host: str, worker_id: str | None) -> bool:
    """Whether an id is of a worker of ours, or may be of one on a host of the same pool that this run has not read."""
    if not worker_id:
        return False
    pool = [other for other in runs if other != host and runs[other].pool() == runs[host].pool()]
    return worker_id in ids_of_all(runs, list(runs)) or any(runs[other].latest is None for other in pool)


def standby_trouble(
    runs: Runs,
    host: str,
    sent: Sequence[GivenProbe],
    answered: Answered,
    playbooks: Playbooks | None = None,
) -> str:
    """Why a host's new worker must not get calls; empty when all that was sent for it came out right.
    ``answered`` is the result of sending the probes."""
    worker = runs[host].new_worker(WORKER if runs[host].is_standby else CANDIDATE)
    for probe in (one for one in sent if one["id"] in (f"{host}/directed", f"{host}/rehearsal")):
        answer = answer_to(probe, answered)
        is_rehearsal = probe.get("kind") == "rehearsal"
        if answer["worker_id"] != (worker and worker.get("worker_id")):
            # An earlier worker of ours, whose hook knew no rehearsals, may take one for a call: it proves nothing.
            if not (is_rehearsal and may_be_ours(runs, host, answer["worker_id"])):
                return astray_text(probe, answer, worker, playbooks or Playbooks())
        elif is_rehearsal and not answer.get("in_room"):
            return rehearsal_text(host, answer, str((worker and worker.get("url")) or ""))
    return ""


def answer_to(probe: GivenProbe, answered: Answered) -> ProbeResult:
    unsent: ProbeResult = {"worker_id": None, "reason": answered.get("msg") or "no probe was sent"}
    return (answered.get("probes") or {}).get(probe["id"]) or unsent


def astray_text(probe: GivenProbe, answer: ProbeResult, worker: WorkerReading | None, playbooks: Playbooks) -> str:
    """Say that something that was sent for the new worker did not get it."""
    what = "rehearsal" if probe.get("kind") == "rehearsal" else "probe"
    is_node, expected = bool(worker and worker.get("sdk") == "node"), worker and worker.get("worker_id")
    remedy = NODE_REMEDY if is_node else HOOK_REMEDY.format(diagnose=playbooks.start("diagnose.yml"))
    return (
        f"found: the {what} sent to {probe['agent_name']} for {probe['instance']} got "
        f"{answer['worker_id'] or answer['reason']}, expected worker {expected} of this host. {remedy}"
    )


def rehearsal_text(host: str, answer: ProbeResult, url: str) -> str:
    """Say that the new worker's agent failed in its rehearsal."""
    has_no_media = answer.get("error_kind") == MEDIA
    remedy = preview.media_remedy(host, url) if has_no_media else REHEARSAL_REMEDY
    return f"found: the rehearsal failed ({answer['reason']}), expected that the agent stays in its room. {remedy}"


def slot_previews(runs: Runs, hosts: Sequence[str]) -> list[GivenProbe]:
    """What each new API answered in its free slot: it has to have dispatched to the release's name."""
    probes: list[GivenProbe] = []
    for host in hosts:
        found, plan = runs[host].answer(SLOT_PREVIEW, "status"), runs[host].plan
        if found and runs[host].replaces:
            asked = preview.of(runs[host].variables, host).request()
            probes.append(
                {
                    "id": f"{host}/slot",
                    "kind": "preview",
                    "expect": "dispatch",
                    "agent_name": plan["agent_name"],
                    "request": {**asked, "headers": {}, "url": str(found.get("url") or "the API")},
                    "answer": answer_of_api(found),
                }
            )
    return probes


def answer_of_api(found: Answer) -> ApiAnswer:
    """What an API answered on its own host, as a preview is given it."""
    return {"status": int(found["status"]), "text": str(found.get("content") or found.get("msg") or "")}


def slot_trouble(runs: Runs, host: str, answered: Answered) -> str:
    """Why the proxy must not be pointed to a host's new API."""
    if not slot_previews(runs, [host]):
        return ""
    unsent: ProbeResult = {"reason": answered.get("msg") or "its answer was not looked at"}
    answer = (answered.get("probes") or {}).get(f"{host}/slot") or unsent
    if answer.get("outcome") == "dispatched":
        return ""
    wanted = runs[host].plan["agent_name"]
    return f"found: the new API's preview: {answer['reason']}. Expected: a dispatch to {wanted!r}. {SLOT_REMEDY}"


def process_of(worker: WorkerReading) -> str:
    """What a worker's probe hook drew at its start, empty where that is not known: a copy of the host has another."""
    return str(worker.get("hook_process") or "")


def directed(run: HostRun, agent_name: str, instance: str, *, tries: int = 1, process: str = "") -> GivenProbe:
    name = f"{run.name}/directed"
    probe: GivenProbe = {"id": name, "mode": "answer_if", "agent_name": agent_name, "instance": instance}
    times = SHARED_TRIES if run.serves_shared_name() else tries
    if process:
        probe["process"] = process
    if times > 1:
        probe["tries"] = times
    return probe


def directed_at(run: HostRun, worker: WorkerReading) -> GivenProbe:
    """The directed probe for a new worker."""
    name, instance = worker["agent_name"] or "", worker["instance"] or ""
    return directed(run, name, instance, tries=NEW_TRIES, process=process_of(worker))


def through_probes(runs: Runs, hosts: Sequence[str], others: Sequence[HostInfo] = ()) -> list[GivenProbe]:
    """For each name one probe that our instances pass on. The others of a pool are ours, too, also outside the run, and
    so are workers of earlier releases that still run: not every one has its gate closed."""
    readings = with_others(runs, hosts, others)
    sampled = sampled_names(runs, hosts, others)
    instances: dict[str, list[str]] = {}
    for host, found in readings:
        name = runs[host].agent_name(found)
        if (release := found.get("release")) and name not in sampled:
            ours = instances.setdefault(name, [])
            ours += dict.fromkeys([f"{host}/{release['id']}", *earlier_instances(found, name)])
            ours += processes(found, ours)
    return [
        {"id": f"{name}/through", "agent_name": name, "instances": named, "mode": "pass", "expect": "nobody"}
        for name, named in sorted(instances.items())
    ]


def processes(reading: HostInfo, instances: Sequence[str]) -> list[str]:
    """The known running processes of these instances: where one is named, a copy with its instance is a stranger."""
    running = [
        worker
        for worker in reading.get("workers") or []
        if worker.get("running") and worker.get("instance") in instances
    ]
    return sorted({f"{worker['instance']}#{process_of(worker)}" for worker in running if process_of(worker)})


def earlier_instances(reading: HostInfo, name: str) -> list[str]:
    states = reading.get("states") or {}
    ours = [
        worker
        for worker in reading.get("workers") or []
        if worker.get("release") in states and worker.get("agent_name") == name
    ]
    return sorted(str(worker["instance"]) for worker in ours if worker.get("running") and worker.get("instance"))


def sample_probes(
    runs: Runs, hosts: Sequence[str], sampling: Sampling, others: Sequence[HostInfo] = ()
) -> list[GivenProbe]:
    """Plain dispatches to names that no probe can be directed in, one after the other: so many for each worker of ours
    that takes them. They end with the first that another worker takes, unless the shares are asked for."""
    readings = with_others(runs, hosts, others)
    probes: list[GivenProbe] = []
    for name in sorted(sampled_names(runs, hosts, others)):
        mine = [(host, found) for host, found in readings if runs[host].agent_name(found) == name]
        served = [found for _, found in mine if found.get("release")]
        count = sample_count(served, sampling)
        if count > 0:
            probe: GivenProbe = {
                "id": f"{name}/sample",
                "kind": "plain",
                "agent_name": name,
                "metadata": metadata_of(runs[mine[0][0]]),
                "count": count,
                "in_turn": True,
                "spacing_seconds": float(sampling["spacing_seconds"]),
            }
            if not sampling.get("shares"):
                ours = (own_ids([found], found.get("states") or {}) for found in served)
                probe["own_ids"] = sorted({worker_id for ids_here in ours for worker_id in ids_here})
            probes.append(probe)
    return probes


def sample_count(served: Sequence[HostInfo], sampling: Sampling) -> int:
    """How many dispatches go out for the workers of a name. Nothing else tells of a worker that nobody deployed, so
    there are enough to miss an equal one hardly ever."""
    each = int(sampling["samples"])
    least = UNMANAGED_SAMPLES if each and any((found["release"] or {}).get("unmanaged") for found in served) else 0
    return max(least, each * sum(taking(found, found.get("states") or {}) for found in served))


def verification_probes(
    runs: Runs,
    hosts: Sequence[str],
    deadline_seconds: float | None,
    sampling: Sampling,
    others: Sequence[HostInfo] = (),
) -> list[GivenProbe]:
    """All probes of a verification: that a random name finds nobody; for each name one that our workers pass on, or
    samples; for each host a preview, and a directed probe where its name is not sampled.

    ``deadline_seconds`` is that of the previews; None: none is sent.
    ``sampling`` has ``samples`` and ``spacing_seconds``.
    """
    probes: list[GivenProbe] = [{"id": "nobody", "expect": "nobody"}]
    probes += through_probes(runs, hosts, others) + sample_probes(runs, hosts, sampling, others)
    reached = hooked(runs, hosts, hosts, others)
    for host in [host for host in hosts if not runs[host].left_behind]:
        release = runs[host].reading.get("release")
        if release and host in reached:
            instance = f"{host}/{release['id']}"
            process = next((one.partition("#")[2] for one in processes(runs[host].reading, [instance])), "")
            probes.append(directed(runs[host], runs[host].agent_name(), instance, process=process))
        if release and API in record_services(release) and deadline_seconds and preview.wanted(runs[host].variables):
            probes.append(preview_probe(runs[host], deadline_seconds))
    return probes


def preview_probe(run: HostRun, deadline_seconds: float) -> GivenProbe:
    """The agent stays in the room until the last line of its log is due.
    One dispatch that a worker refuses, because it is busy for a moment, is no verdict."""
    stay = max((one.deadline_seconds for one in preview.patterns(run.variables)), default=0.0)
    return {
        "id": f"{run.name}/preview",
        "kind": "preview",
        "agent_name": run.agent_name(),
        "request": preview.of(run.variables, run.name).request(),
        "deadline_seconds": deadline_seconds,
        "stay_seconds": stay,
        "tries": NEW_TRIES,
    }


# --- an API that the controller does not reach ---


def unreached(runs: Runs, hosts: Sequence[str], answers: Mapping[str, ProbeResult]) -> list[str]:
    """Hosts whose preview got no connection from the controller: behind bastion, firewall, or a name only ssh knows."""
    found = {host: answers.get(f"{host}/preview") or {} for host in hosts if host in runs}
    return [host for host, answer in found.items() if answer.get("error_kind") == NOT_REACHED]


def own_previews(
    runs: Runs, hosts: Sequence[str], answers: Mapping[str, ProbeResult], deadline_seconds: float
) -> list[GivenProbe]:
    """The same previews again, with the answers that hosts got: what became of each is looked at on the controller."""
    probes: list[GivenProbe] = []
    for host in unreached(runs, hosts, answers):
        found = runs[host].answer(ASKED, "status")
        if found and found["status"]:
            probe = preview_probe(runs[host], deadline_seconds)
            request: ApiRequest = {**probe["request"], "headers": {}, "url": f"{found['url']} on {host}"}
            probes.append({**probe, "request": request, "answer": answer_of_api(found), "tries": 1})
    return probes


def preview_answers(
    runs: Runs, hosts: Sequence[str], answers: Mapping[str, ProbeResult], again: Mapping[str, ProbeResult]
) -> dict[str, ProbeResult]:
    """All answers, with those to the previews that hosts sent themselves in place of those that got no connection."""
    asked = {host: answers[f"{host}/preview"] for host in unreached(runs, hosts, answers)}
    return {**answers, **{f"{host}/preview": own_answer(runs[host], first, again) for host, first in asked.items()}}


def own_answer(run: HostRun, first: ProbeResult, again: Mapping[str, ProbeResult]) -> ProbeResult:
    host, seen = run.name, str(first.get("reason")).partition("; expected")[0]
    if second := again.get(f"{host}/preview"):
        return {**second, "from_host": seen}
    found = run.answer(ASKED, "status") or {}
    own = found.get("content") or run.result(ASKED).get("msg") or "it was not asked"
    return {**first, "reason": f"no connection from the controller ({seen}), and none from {host} itself ({own})"}


# --- before the first worker of a name ---


def vacancy_probes(runs: Runs, group: Sequence[str]) -> list[GivenProbe]:
    """One probe that must find nobody, for each name that no host of the inventory serves.
    Where a host of the name was not read in this run it may serve the name, so nothing is asked."""
    readings: dict[str, list[HostInfo]] = {}
    for host in group:
        found = runs[host].latest
        if not runs[host].serves_shared_name():
            readings.setdefault(runs[host].agent_name(), []).append(found or {})
    vacant = [
        name
        for name, found in readings.items()
        if name and all(found) and not any(serves(reading, name) for reading in found)
    ]
    return [{"id": f"{name}/vacancy", "agent_name": name, "expect": "nobody"} for name in sorted(vacant)]


def serves(reading: HostInfo, name: str) -> bool:
    """Whether a worker of our releases runs under the name; its environment says so where its log no longer does."""
    ours = [
        worker
        for worker in reading["workers"]
        if worker.get("release") in reading.get("states", {}) and worker.get("running")
    ]
    return any(
        name in (worker.get("agent_name"), (worker.get("env") or {}).get("LIVEKIT_AGENT_NAME")) for worker in ours
    )


def vacancy_trouble(
    runs: Runs,
    group: Sequence[str],
    host: str,
    answers: Mapping[str, ProbeResult],
    accept_inconclusive: bool = False,
    playbooks: Playbooks | None = None,
) -> str:
    """Why the first worker of a host's name must not start; empty when nobody else has it, or this is not its first."""
    name = runs[host].agent_name()
    if f"{name}/vacancy" not in [probe["id"] for probe in vacancy_probes(runs, group)]:
        return ""
    expected = f"expected that nobody has the name {name!r} before its first worker starts"
    answer = answers.get(f"{name}/vacancy") or {}
    outcome, taker = answer.get("outcome"), ids.worker(answer.get("worker_id")) or ""
    if outcome == "nobody" or taker in ids_of_all(runs, group) - {""}:
        return ""
    if outcome != "taken":
        found = f"found: {answer.get('reason') or 'no answer to the probe'}, {expected}. Run deploy.yml again"
        return (
            "" if accept_inconclusive else f"{found}; to go on all the same: -e verification_accept_inconclusive=true"
        )
    return (
        f"found: {taker or 'a worker'} has the name {name!r}, {expected}. "
        f"{taken_remedy(taker, playbooks or Playbooks())}"
    )


def taken_remedy(taker: str, playbooks: Playbooks) -> str:
    """Return what to do where somebody has a name that is new to us."""
    stop = (
        playbooks.start("evict.yml", evict_worker=taker)
        if taker
        else f"{playbooks.start('evict.yml')} (shows who it is)"
    )
    find = playbooks.start("diagnose.yml")
    return f"Give the host another livekit_agent_name, or find that worker ({find}) and stop it: {stop}"


def ids_of_all(runs: Runs, hosts: Sequence[str]) -> set[str]:
    """Worker ids of all hosts that a deployment has read."""
    readings = [found for host in hosts if (found := runs[host].latest)]
    return {worker_id for reading in readings for worker_id in own_ids([reading], reading.get("states") or {})}
