#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Take a release of an application on a host one step further."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent_release
short_description: Pull, start, switch to, drain or abandon a release on a host
description:
  - Every run on a host holds its lock, from M(agent_release_plan), which begins it, to V(drain) or V(abandon). Each
    step between checks O(fence) first, so that a run that was overtaken changes nothing, and is bounded by
    O(deadline_seconds).
  - V(pull) brings the images that the host lacks, from their registries or from the archives that were sent, and
    refuses one for another architecture.
  - V(start_candidate) starts the release's worker under the plan's candidate name, in a compose project of its own,
    where no gate can be used; V(start_worker) removes it.
  - V(start_worker) and V(start_api) start the worker and the API of the release beside what serves.
  - V(switch) opens the gate of a release that runs, points the proxy to its API, closes the gate of the one before, and
    records it.
  - V(drain) drains and stops every release but the serving one, and removes the oldest of them. Images that this
    project brought to the host (noted in C(<root>/<app>/images)) go too when no recorded release of any application and
    no container has them.
  - V(abandon) takes the release back; the one before it serves, or serves again, and what the failed one started is
    removed.
  - A worker is drained with one signal only and never killed before its own timeout; one that is still busy is left and
    reported.
  - How each run ended is in C(<root>/<app>/history.jsonl).
options:
  step:
    description: What is to be done.
    type: str
    required: true
    choices: [pull, start_candidate, start_worker, start_api, switch, drain, abandon]
  release:
    description: Id of the release; needed for every step but V(drain) and V(abandon).
    type: str
  fence:
    description: Fencing number, as M(agent_release_plan) answered it.
    type: int
    required: true
  images:
    description: Image of each compose service, for V(pull).
    type: dict
    default: {}
  archives:
    description: The images that come from archives, for V(pull), as for M(agent_release_plan).
    type: dict
    default: {}
  instance_host:
    description: The host's name in the inventory, for RV(report_notes).
    type: str
    default: ""
  worker_id:
    description: For V(switch), id of the worker that was proven. One that ended or registered anew since is not
      switched to.
    type: str
  deadline_seconds:
    description: How long the step may take.
    type: float
    default: 120.0
  wait_seconds:
    description: How long V(drain) waits for workers to finish their calls before it leaves them draining.
    type: float
    default: 15.0
  overlap_seconds:
    description: How long V(drain) lets a worker serve on whose agent name is no longer the serving one.
    type: float
    default: 0.0
  keep:
    description: How many stopped releases V(drain) keeps.
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
    description: Does nothing.
    support: full
  diff_mode:
    description: Nothing to show.
    support: none
extends_documentation_fragment: [livekit_deploy.application, livekit_deploy.registries]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Switch to the release that was proven
  agent_release:
    app: sidekick
    step: switch
    fence: "{{ __begun.fence }}"
    release: "{{ __begun.plan.id }}"
"""

RETURN = r"""
fence:
  description: The fencing number, repeated.
  returned: with O(step=switch) or O(step=drain), and on failure
  type: int
report_notes:
  description: What the user is told at the end of the run.
  returned: with O(step=drain)
  type: list
  elements: str
pulled:
  description: The images that were pulled, or loaded from archives.
  returned: with O(step=pull)
  type: list
  elements: str
answered:
  description: The API was waited for until it answered; of an adopted project no health check is known.
  returned: with O(step=start_worker) or O(step=start_api)
  type: bool
known:
  description: Name of the container to look at for the worker of an adopted project, for
    O(livekit_worker_info#module:known); else empty.
  returned: with O(step=start_worker) or O(step=start_api)
  type: list
  elements: str
draining:
  description: Ids of releases that still have calls, or requests to their API.
  returned: with O(step=drain) or O(step=abandon)
  type: list
  elements: str
retired:
  description: Ids of releases that were stopped.
  returned: with O(step=drain)
  type: list
  elements: str
removed:
  description: Ids of releases whose directories were removed.
  returned: with O(step=drain)
  type: list
  elements: str
images_removed:
  description: References of images that were removed, because no release needs them any more.
  returned: with O(step=drain)
  type: list
  elements: str
serving:
  description: Id of the release that serves after an abandoned one, or none.
  returned: with O(step=abandon)
  type: str
log:
  description: Last log lines of an abandoned release's containers.
  returned: with O(step=abandon)
  type: list
  elements: str
release:
  description: The record of the serving release; with it everything that M(agent_release_info) reads.
  returned: with O(step=switch)
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.common.text import Masker
from ansible.module_utils.livekit_deploy.machine import command, registry
from ansible.module_utils.livekit_deploy.release import adopted, containers, drain, images, records, state, switch
from ansible.module_utils.livekit_deploy.release.errors import TROUBLE
from ansible.module_utils.livekit_deploy.release.lock import LockError
from ansible.module_utils.livekit_deploy.release.proxy import upstream_path
from ansible.module_utils.livekit_deploy.release.run import Deployment
from ansible.module_utils.livekit_deploy.release.store import Releases

# The steps that start a service of a release.
STARTS = {"start_worker": "agent-worker", "start_api": "fastapi"}
Params = dict[str, Any]


def pull(run: Deployment, p: Params) -> dict[str, Any]:
    def bring() -> list[str]:
        return images.bring(run.releases, p["images"].values(), p["registries"], p["archives"])

    brought = run.pull(p["fence"], p["release"], p["deadline_seconds"], bring)
    return {"changed": bool(brought), "pulled": brought}


def start(run: Deployment, p: Params) -> dict[str, Any]:
    def started() -> bool:
        return containers.start_service(run.releases, p["release"], STARTS[p["step"]])

    fresh = run.step(p["fence"], p["step"], p["deadline_seconds"], started)
    known = adopted.known(run.releases.record(p["release"]))
    return {"changed": fresh, "answered": bool(known), "known": known}


def start_candidate(run: Deployment, p: Params) -> dict[str, Any]:
    def started() -> None:
        containers.start_candidate(run.releases, p["release"])

    run.step(p["fence"], p["step"], p["deadline_seconds"], started)
    return {"changed": True}


def switch_to(run: Deployment, p: Params) -> dict[str, Any]:
    def switched() -> bool:
        if p["worker_id"]:
            state.refuse_unstable(run.releases, p["release"], p["worker_id"])
        return switch.serve(run.releases, p["release"])

    changed = run.step(p["fence"], p["step"], p["deadline_seconds"], switched)
    return {"changed": changed, "fence": p["fence"], **state.release_info(run.releases)}


def drain_others(run: Deployment, p: Params) -> dict[str, Any]:
    ending = drain.Ending(p["wait_seconds"], p["overlap_seconds"], keep=p["keep"])
    done = run.end(p["fence"], ending, p["verdict"], p["reason"])
    changed = bool(done["retired"] or done["removed"] or done["images_removed"])
    host, troubles = p["instance_host"], done.pop("troubles", [])
    notes = [*drain.drain_notes(host, done["draining"]), *drain.trouble_notes(host, troubles)]
    return {"changed": changed, "fence": p["fence"], "report_notes": notes, **done}


def abandon(run: Deployment, p: Params) -> dict[str, Any]:
    return {"changed": True, **run.abandon(p["fence"], p["reason"])}


STEPS: dict[str, Callable[[Deployment, Params], dict[str, Any]]] = {
    "pull": pull,
    "start_candidate": start_candidate,
    "start_worker": start,
    "start_api": start,
    "switch": switch_to,
    "drain": drain_others,
    "abandon": abandon,
}
ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    "step": {"type": "str", "required": True, "choices": list(STEPS)},
    "release": {"type": "str"},
    "fence": {"type": "int", "required": True},
    "images": {"type": "dict", "default": {}},
    "archives": {"type": "dict", "default": {}},
    "registries": registry.OPTIONS,
    "instance_host": {"type": "str", "default": ""},
    "worker_id": {"type": "str"},
    "deadline_seconds": {"type": "float", "default": 120.0},
    "wait_seconds": {"type": "float", "default": 15.0},
    "overlap_seconds": {"type": "float", "default": 0.0},
    "keep": {"type": "int", "default": 3},
    "verdict": {"type": "str"},
    "reason": {"type": "str", "default": ""},
}
REQUIRED_IF = [("step", name, ("release",)) for name in STEPS if name not in ("drain", "abandon")]


def runner(p: Params) -> command.Runner:
    """Run programs at most so long as the step may take: the lease of the lock counts on it. Waiting comes on top of
    it."""
    waits = 2 * (p["wait_seconds"] + p["overlap_seconds"]) if p["step"] == "drain" else 0.0
    return command.Runner(p["deadline_seconds"], p["deadline_seconds"] + waits)


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, required_if=REQUIRED_IF, supports_check_mode=True)
    p = module.params
    if p["release"] and not records.ID_PATTERN.fullmatch(p["release"]):
        module.fail_json(msg=f"found release {p['release']!r}, expected YYYYMMDDThhmmssZ-<8 hex digits>")
    if module.check_mode:
        module.exit_json(changed=False)
    releases = Releases(runner(p), p["app"], f"{p['root']}/{p['app']}", upstream_path(p["app"]))
    module.words = Masker.of(*releases.environments())
    p["reason"] = module.words(p["reason"])
    # By the fence the role knows whose answer this is.
    try:
        answer = STEPS[p["step"]](Deployment(releases), p)
    except LockError as error:
        module.fail_json(msg=str(error), fence=p["fence"])
    except TROUBLE as error:
        module.fail_json(msg=f"{p['step']}{' ' + p['release'] if p['release'] else ''}: {error}", fence=p["fence"])
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
