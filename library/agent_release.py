#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Take a release of an application on a host from one state to the next."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent_release
short_description: Begin, pull, start, serve, abandon or end a release on a host, or remove them all
description:
  - Every run on a host holds its lock, from V(begun) to V(abandoned) or V(ended). Each step between checks O(fence) first, so that a run
    that was overtaken changes nothing, and is bounded by O(deadline_seconds).
  - V(begun) takes the lock, takes back what a killed run left, reads the host, decides whether there is anything to do, and writes the new
    release's directory with its standby gate closed; nothing runs.
    A hand-made compose project that O(adopt_project) names is the release before the first one from then on.
  - V(pulled) brings the images that the host lacks, from their registries or from the archives that were sent, and refuses one for another
    architecture.
  - V(started) starts one compose service of the release beside what serves.
  - V(candidate) starts its worker under the plan's candidate name, in a compose project of its own, where no gate can be used; V(started)
    of the worker removes it.
  - V(serving) opens the gate of a release that runs, points the proxy to its API, closes the gate of the one before, and records it.
  - V(abandoned) takes the release back; the one before it serves, or serves again, and what the failed one started is removed.
  - V(ended) drains and stops every release but the serving one, and removes the oldest of them. Images that this project brought to the host
    (noted in C(<root>/<app>/images)) go too when no recorded release of any application and no container has them.
  - A worker is drained with one signal only and never killed before its own timeout; one that is still busy is left and reported.
  - V(removed) takes the application off the host in one step that needs no O(fence). The proxy forgets it, the API answers its last request,
    the workers finish their calls; then containers, networks and files of ours go. What others have stays, and so does a project that was
    adopted, stopped. Where a worker still has calls after O(wait_seconds) it fails, and is to be repeated.
  - How each run ended is in C(<root>/<app>/history.jsonl).
options:
  state:
    description: What the release is to become.
    type: str
    required: true
    choices: [begun, pulled, candidate, started, serving, abandoned, ended, removed]
  release:
    description: Id of the release; needed for V(pulled), V(candidate), V(started) and V(serving).
    type: str
  fence:
    description: Fencing number, as V(begun) answered it; needed for every other state but V(removed).
    type: int
  owner:
    description: The run that takes the lock, for V(begun) and V(removed), as the filter C(livekit_run_owner) tells.
    type: dict
    suboptions:
      machine: {description: "The controller, its boot and its process namespace.", type: str, required: true}
      process: {description: Process id of the run., type: int, required: true}
      started: {description: Start time of that process in clock ticks., type: str, required: true}
      name: {description: Who and where, type: str, required: true}
      user: {description: The user of that process; others may not see it., type: str, default: ""}
  alive:
    description: Processes of the controller, C(<pid>:<start time>), to know an owner of the lock that has ended.
    type: list
    elements: str
    default: []
  purpose:
    description: What the lock is taken for, shown to others.
    type: str
    default: deploy
  lock_wait_seconds:
    description: How long V(begun) and V(removed) wait for another run to give the lock back.
    type: float
    default: 30.0
  goal:
    description:
      - What is to serve. C(kind) is V(inventory) (O(compose), O(env), O(secret_env)), V(shared_name) (the serving release, under
        C(shared_name)) or V(release) (the kept one of id C(release), or V(previous), the last one before that has another content).
    type: dict
    default: {kind: inventory}
    suboptions:
      kind: {description: Kind., type: str, choices: [inventory, shared_name, release], default: inventory}
      shared_name: {description: Agent name that others may have too; a release that gets it is verified as such., type: str, default: ""}
      release: {description: Id of a kept release., type: str, default: ""}
  compose:
    description: Text of C(compose.yml) for V(begun), with C(@release_id@), C(@project@) and C(@api_port@) where these belong.
    type: str
    default: ""
  env:
    description: Environment of each compose service for V(begun); written to C(<service>.env), mode 0600.
    type: dict
    default: {}
  secret_env:
    description: As O(env), for values that are secret.
    type: dict
    default: {}
  images:
    description: Image of each compose service, for V(begun) and V(pulled). A service without one is none of the release.
    type: dict
    default: {}
  archives:
    description:
      - The images that come from archives, for V(begun) and V(pulled), by their names on the host. Each with C(path), C(ids), C(config) and
        C(tops), as M(image_archive_info) reads them.
    type: dict
    default: {}
  unresolved:
    description: Why images named by a tag could not be resolved, or archives not be read; V(begun) then refuses.
    type: str
    default: ""
  record:
    description: What the record of a new release says beside the rest, such as who made it.
    type: dict
    default: {}
  instance_host:
    description: The host's name in the inventory; with the release's id it names the worker for a directed probe.
    type: str
    default: ""
  stamp:
    description: Time of the run, the first part of a new release's id.
    type: str
  api_ports:
    description: Two ports of 127.0.0.1; a new release takes the one that the serving release does not use.
    type: list
    elements: int
    default: []
  force:
    description: Make a release although nothing changed.
    type: bool
    default: false
  adopt_project:
    description: Compose project that V(begun) takes over where no release serves; it is the release before then.
    type: str
    default: ""
  leave_projects:
    description: Compose projects whose workers may run beside a first release; V(begun) refuses any other that is not taken over.
    type: list
    elements: str
    default: []
  min_free_mb:
    description: Space on the host's disk without which no release is begun, in MiB.
    type: int
    default: 0
  min_free_memory_mb:
    description: Memory that has to be available for the new worker beside the old one, in MiB; V(begun) refuses a host with less.
    type: int
    default: 0
  clock_skew_limit_seconds:
    description: How far the host's clock may be from O(controller_time) for V(begun); 0 is any.
    type: float
    default: 0.0
  service:
    description: The compose service to start, for V(started).
    type: str
    choices: [fastapi, agent-worker]
  worker_id:
    description: For V(serving), id of the worker that was proven. One that ended or registered anew since is not switched to.
    type: str
  livekit_nodes:
    description: How many nodes the LiveKit server has, for V(begun), as the filter C(livekit_nodes) answers. With several no gate is used.
    type: int
    default: 1
  candidate_suffix:
    description: What is added to the agent name for a candidate name, after a hyphen, for V(begun).
    type: str
    default: candidate
  deadline_seconds:
    description: How long the step may take.
    type: float
    default: 120.0
  wait_seconds:
    description: How long V(ended) and V(removed) wait for workers to finish their calls before they leave them draining.
    type: float
    default: 15.0
  overlap_seconds:
    description: How long V(ended) lets a worker serve on whose agent name is no longer the serving one.
    type: float
    default: 0.0
  keep:
    description: How many stopped releases V(ended) keeps.
    type: int
    default: 3
  verdict:
    description: What was proven, for the history.
    type: str
  reason:
    description: Why the run ends as it does, for the history.
    type: str
    default: ""
attributes:
  check_mode:
    description: V(begun) and V(removed) answer what they would do, write nothing and take no lock; the other states do nothing.
    support: full
  diff_mode:
    description: V(begun) shows agent name, images and release before and after.
    support: full
extends_documentation_fragment: [livekit_deploy.application, livekit_deploy.clock, livekit_deploy.playbooks, livekit_deploy.registries]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Switch to the release that was proven
  agent_release:
    app: sidekick
    state: serving
    fence: "{{ __begun.fence }}"
    release: "{{ __begun.plan.id }}"
"""

RETURN = r"""
fence:
  description: Fencing number for the steps that follow; none where there is nothing to do, and in check mode. V(serving) and V(ended) repeat it.
  returned: with O(state=begun), O(state=serving) or O(state=ended)
  type: int
plan:
  description:
    - What the run is to do. C(changed), C(reasons), C(id), C(project), C(api_port), C(images), C(hash), C(agent_name), C(agent_name_before),
      C(previous), C(hook) (the worker asks the probe hook), C(gated) (its gate can be used), C(candidate) (else the name under which
      it is proven first), C(rolled_back) (how the release is not what the inventory says, on purpose), C(returns_from) (that of the release
      it replaces), C(adopted) (it is a hand-made project that was taken over) and C(passed_over) (releases before the serving one that
      have its content, which a rollback to V(previous) passes over).
  returned: with O(state=begun)
  type: dict
cleared:
  description: Ids of releases that an earlier run left unfinished.
  returned: with O(state=begun)
  type: list
  elements: str
overtook:
  description: The run that never gave its lock back, or none.
  returned: with O(state=begun)
  type: str
missing:
  description: What the host lacks that C(provision.yml) would install; empty, since V(begun) refuses such a host.
  returned: with O(state=begun)
  type: list
  elements: str
report_notes:
  description: What the user is told at the end of the run.
  returned: with O(state=begun), O(state=ended) or O(state=removed)
  type: list
  elements: str
send:
  description: The archives whose images the host lacks, each with its C(path) on the controller and the C(destination) it has to be copied to.
  returned: with O(state=begun)
  type: list
  elements: dict
removal:
  description:
    - What was there of ours, or still is in check mode. C(agent_names) (that workers here served), C(serving), C(releases), C(containers),
      C(networks), C(images), C(files) (of the proxy), C(directory), C(history) (its last line).
    - What stays. C(adopted) (projects), C(volumes), C(others) (files of others in the directory), C(kept) (an upstream that is still included).
  returned: with O(state=removed)
  type: dict
pulled:
  description: The images that were pulled, or loaded from archives.
  returned: with O(state=pulled)
  type: list
  elements: str
answered:
  description: The API was waited for until it answered; of an adopted project no health check is known.
  returned: with O(state=started)
  type: bool
known:
  description: Name of the container to look at for the worker of an adopted project, for O(livekit_worker_info#module:known); else empty.
  returned: with O(state=started)
  type: list
  elements: str
draining:
  description: Ids of releases that still have calls, or requests to their API.
  returned: with O(state=ended) or O(state=abandoned)
  type: list
  elements: str
retired:
  description: Ids of releases that were stopped.
  returned: with O(state=ended)
  type: list
  elements: str
removed:
  description: Ids of releases whose directories were removed.
  returned: with O(state=ended)
  type: list
  elements: str
images_removed:
  description: References of images that were removed, because no release needs them any more.
  returned: with O(state=ended)
  type: list
  elements: str
serving:
  description: Id of the release that serves after an abandoned one, or none.
  returned: with O(state=abandoned)
  type: str
log:
  description: Last log lines of an abandoned release's containers.
  returned: with O(state=abandoned)
  type: list
  elements: str
release:
  description: The record of the serving release; with it everything that M(agent_release_info) reads.
  returned: with O(state=begun) or O(state=serving)
  type: dict
"""

import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.livekit_deploy.common import commands, values
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.common.text import Masker
from ansible.module_utils.livekit_deploy.machine import command, docker_variants, registry
from ansible.module_utils.livekit_deploy.machine.command import Run
from ansible.module_utils.livekit_deploy.release import (
    adopted,
    begin,
    containers,
    content,
    drain,
    images,
    notes,
    records,
    refusal,
    state,
    switch,
)
from ansible.module_utils.livekit_deploy.release.errors import TROUBLE
from ansible.module_utils.livekit_deploy.release.lock import Claim, LockError, Owner
from ansible.module_utils.livekit_deploy.release.plan import Goal, Order
from ansible.module_utils.livekit_deploy.release.proxy import site_path, upstream_path
from ansible.module_utils.livekit_deploy.release.removal import Removal, removal_notes, take_off
from ansible.module_utils.livekit_deploy.release.run import Deployment
from ansible.module_utils.livekit_deploy.release.store import Releases

STATE_NAMES = ["begun", "pulled", "candidate", "started", "serving", "abandoned", "ended", "removed"]
ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    "state": {"type": "str", "required": True, "choices": STATE_NAMES},
    "release": {"type": "str"},
    "fence": {"type": "int"},
    "owner": {
        "type": "dict",
        "options": {
            "machine": {"type": "str", "required": True},
            "process": {"type": "int", "required": True},
            "started": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "user": {"type": "str", "default": ""},
        },
    },
    "alive": {"type": "list", "elements": "str", "default": []},
    "purpose": {"type": "str", "default": "deploy"},
    "lock_wait_seconds": {"type": "float", "default": 30.0},
    "goal": {
        "type": "dict",
        "default": {"kind": "inventory"},
        "options": {
            "kind": {"type": "str", "choices": ["inventory", "shared_name", "release"], "default": "inventory"},
            "shared_name": {"type": "str", "default": ""},
            "release": {"type": "str", "default": ""},
        },
    },
    "compose": {"type": "str", "default": ""},
    "env": {"type": "dict", "default": {}},
    "secret_env": {"type": "dict", "default": {}, "no_log": True},
    "images": {"type": "dict", "default": {}},
    "archives": {"type": "dict", "default": {}},
    "registries": registry.OPTIONS,
    "unresolved": {"type": "str", "default": ""},
    "record": {"type": "dict", "default": {}},
    "instance_host": {"type": "str", "default": ""},
    "playbooks": commands.OPTION,
    "stamp": {"type": "str"},
    "api_ports": {"type": "list", "elements": "int", "default": []},
    "force": {"type": "bool", "default": False},
    "adopt_project": {"type": "str", "default": ""},
    "leave_projects": {"type": "list", "elements": "str", "default": []},
    "min_free_mb": {"type": "int", "default": 0},
    "min_free_memory_mb": {"type": "int", "default": 0},
    "clock_skew_limit_seconds": {"type": "float", "default": 0.0},
    "controller_time": {"type": "float"},
    "worker_id": {"type": "str"},
    "livekit_nodes": {"type": "int", "default": 1},
    "candidate_suffix": {"type": "str", "default": "candidate"},
    "service": {"type": "str", "choices": ["fastapi", "agent-worker"]},
    "deadline_seconds": {"type": "float", "default": 120.0},
    "wait_seconds": {"type": "float", "default": 15.0},
    "overlap_seconds": {"type": "float", "default": 0.0},
    "keep": {"type": "int", "default": 3},
    "verdict": {"type": "str"},
    "reason": {"type": "str", "default": ""},
}
REQUIRED_IF = [
    ("state", "begun", ("owner", "stamp", "api_ports")),
    ("state", "pulled", ("fence", "release")),
    ("state", "candidate", ("fence", "release")),
    ("state", "started", ("fence", "release", "service")),
    ("state", "serving", ("fence", "release")),
    ("state", "abandoned", ("fence",)),
    ("state", "ended", ("fence",)),
    ("state", "removed", ("owner",)),
]
Params = dict[str, Any]


class RefusalError(Exception):
    """The host cannot take a release; the text says found, expected and what to do."""


def order_of(p: Params) -> Order:
    given = p["goal"]
    given_images = {service: image for service, image in p["images"].items() if image}
    made_of = content.content_of(p["compose"], p["env"], p["secret_env"], list(given_images) or records.SERVICES)
    goal = Goal(given["kind"], made_of, given["shared_name"], given["release"])
    record = {**p["record"], "app": p["app"]}
    return Order(
        goal,
        p["stamp"],
        p["instance_host"],
        p["api_ports"],
        given_images,
        record,
        p["force"],
        p["min_free_mb"],
        p["min_free_memory_mb"],
        p["livekit_nodes"],
        p["candidate_suffix"],
        p["adopt_project"],
        p["leave_projects"],
    )


def refuse(p: Params, run: Run) -> None:
    """What keeps a host from taking any release."""
    missing = refusal.missing_on_host(run, f"{p['root']}/{p['app']}", upstream_path(p["app"]) if p["images"].get(records.API) else None)
    if missing:
        if trouble := docker_variants.judge(docker_variants.look(run)).trouble:
            raise RefusalError(trouble)
        provision = commands.Playbooks.of(p["playbooks"]).start("provision.yml", limit=p["instance_host"])
        raise RefusalError(f"found: {p['instance_host']} lacks {', '.join(missing)}, expected a provisioned host. Run: {provision}")
    if p["unresolved"]:
        raise RefusalError(p["unresolved"])
    if p["goal"]["kind"] == records.SHARED_NAME and not p["goal"]["shared_name"]:
        raise RefusalError(
            "found no livekit_agent_shared_name, expected the name to restore. Set it in the inventory, or say which release: "
            "-e rollback_to=previous"
        )
    if wrong := values.unpassable(p["env"]) + values.unpassable(p["secret_env"]):
        raise RefusalError(f"found: {', '.join(wrong)} in the environment, expected texts: {values.QUOTES}")
    skew = round(time.time() - p["controller_time"], 1) if p["controller_time"] else 0.0
    if p["clock_skew_limit_seconds"] and abs(skew) > p["clock_skew_limit_seconds"]:
        raise RefusalError(
            f"found: the clock of {p['instance_host']} is {skew} s from the controller's, expected at most "
            f"{p['clock_skew_limit_seconds']:g} s: LiveKit refuses tokens of another time. Set the clock (timedatectl)"
        )


def begun(run: Deployment, p: Params, check: bool) -> dict[str, Any]:
    refuse(p, run.releases.run)
    claim = Claim(Owner(**p["owner"]), p["purpose"], alive=frozenset(p["alive"]))
    answer = begin.preview_run(run, order_of(p)) if check else begin.begin_run(run, claim, p["lock_wait_seconds"], order_of(p))
    plan, current = answer["plan"], answer["release"] or {}
    before = {"release": current.get("id"), "agent_name": current.get("agent_name"), "images": current.get("images")}
    after = {"release": plan["id"], "agent_name": plan["agent_name"], "images": plan["images"]} if plan["changed"] else before
    said = notes.plan_notes(p["instance_host"], answer, check, commands.Playbooks.of(p["playbooks"]))
    changed = plan["changed"] or bool(plan["returns_from"])
    send = images.store_images(run.releases).to_send(p["archives"]) if plan["changed"] and not check else []
    answer.pop("troubles", None)  # the notes have them
    told = {"report_notes": said, "warnings": notes.plan_warnings(p["instance_host"], plan)}
    return {"changed": changed, "send": send, "missing": [], "diff": {"before": before, "after": after}, **told, **answer}


def pulled(run: Deployment, p: Params) -> dict[str, Any]:
    def bring() -> list[str]:
        return images.bring(run.releases, p["images"].values(), p["registries"], p["archives"])

    brought = run.pull(p["fence"], p["release"], p["deadline_seconds"], bring)
    return {"changed": bool(brought), "pulled": brought}


def started(run: Deployment, p: Params) -> dict[str, Any]:
    fresh = run.step(
        p["fence"],
        f"start {p['service']}",
        p["deadline_seconds"],
        lambda: containers.start_service(run.releases, p["release"], p["service"]),
    )
    known = adopted.known(run.releases.record(p["release"]))
    return {"changed": fresh, "answered": bool(known), "known": known}


def candidate(run: Deployment, p: Params) -> dict[str, Any]:
    run.step(p["fence"], "start candidate", p["deadline_seconds"], lambda: containers.start_candidate(run.releases, p["release"]))
    return {"changed": True}


def serving(run: Deployment, p: Params) -> dict[str, Any]:
    def switched() -> bool:
        if p["worker_id"]:
            state.refuse_unstable(run.releases, p["release"], p["worker_id"])
        return switch.serve(run.releases, p["release"])

    changed = run.step(p["fence"], "switch", p["deadline_seconds"], switched)
    return {"changed": changed, "fence": p["fence"], **state.release_info(run.releases)}


def abandoned(run: Deployment, p: Params) -> dict[str, Any]:
    return {"changed": True, **run.abandon(p["fence"], p["reason"])}


def ended(run: Deployment, p: Params) -> dict[str, Any]:
    done = run.end(p["fence"], p["wait_seconds"], p["keep"], p["overlap_seconds"], p["verdict"], p["reason"])
    changed = bool(done["retired"] or done["removed"] or done["images_removed"])
    host, troubles = p["instance_host"], done.pop("troubles", [])
    said = [*drain.drain_notes(host, done["draining"]), *drain.trouble_notes(host, troubles)]
    return {"changed": changed, "fence": p["fence"], "report_notes": said, **done}


def removed(run: Deployment, p: Params, check: bool) -> dict[str, Any]:
    removal = Removal(run.releases, site_path(p["app"]))
    if check:
        found = removal.survey()
    else:
        claim = Claim(Owner(**p["owner"]), p["purpose"], alive=frozenset(p["alive"]))
        found = take_off(removal, run, claim, p["lock_wait_seconds"], p["wait_seconds"])
    changed = found.get("changed", found["there"])
    return {"changed": changed, "removal": found, "report_notes": removal_notes(p["instance_host"], p["app"], found, check)}


STATES: dict[str, Callable[[Deployment, Params], dict[str, Any]]] = {
    "pulled": pulled,
    "candidate": candidate,
    "started": started,
    "serving": serving,
    "abandoned": abandoned,
    "ended": ended,
}


def runner(p: Params) -> command.Runner:
    """Run programs at most so long as the step may take: the lease of the lock counts on it. Waiting comes on top of it."""
    waits = {
        "begun": ("lock_wait_seconds",),
        "removed": ("lock_wait_seconds", "wait_seconds"),
        "ended": ("wait_seconds", "overlap_seconds"),
    }
    return command.Runner(p["deadline_seconds"], p["deadline_seconds"] + sum(2 * p[name] for name in waits.get(p["state"], ())))


def masker(run: Deployment, p: Params) -> Masker:
    """What takes secrets out of the messages of programs, and out of the reason that the history keeps."""
    given = [
        {name: str(value) for name, value in service.items()} for key in ("env", "secret_env") for service in p[key].values() if service
    ]
    return Masker.of(*given, *run.releases.environments())


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, required_if=REQUIRED_IF, supports_check_mode=True)
    p = module.params
    if p["release"] and not records.ID_PATTERN.fullmatch(p["release"]):
        module.fail_json(msg=f"found release {p['release']!r}, expected YYYYMMDDThhmmssZ-<8 hex digits>")
    run = Deployment(Releases(runner(p), p["app"], f"{p['root']}/{p['app']}", upstream_path(p["app"])))
    module.words = masker(run, p)
    p["reason"] = module.words(p["reason"])
    whole = {"begun": begun, "removed": removed}.get(p["state"])
    if module.check_mode and not whole:
        module.exit_json(changed=False)
    # By it the role knows whose answer this is.
    about = {"fence": p["fence"]} if p["fence"] is not None else {}
    try:
        answer = whole(run, p, module.check_mode) if whole else STATES[p["state"]](run, p)
    except (LockError, RefusalError) as error:
        module.fail_json(msg=str(error), **about)
    except TROUBLE as error:
        module.fail_json(**about, msg=f"{p['state']}{' ' + p['release'] if p['release'] else ''}: {error}")
    for text in answer.pop("warnings", []):  # ansible-core shows them at once, and the notes come at the end
        module.warn(text)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
