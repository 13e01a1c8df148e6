#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Take the lock of a host, decide what its next release is, and write it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent_release_plan
short_description: Begin a run on a host, take its lock, decide, and write the next release
description:
  - Takes the lock, takes back what a killed run left, reads the host, decides whether there is anything to do, and
    writes the new release's directory with its standby gate closed; nothing runs. The steps that follow are of
    M(agent_release).
  - A hand-made compose project that O(adopt_project) names is the release before the first one from then on.
options:
  goal:
    description:
      - What is to serve. C(kind) is V(inventory) (O(compose), O(env), O(secret_env)), V(shared_name) (the serving
        release, under C(shared_name)) or V(release) (the kept one of id C(release), or V(previous), the last one before
        that has another content).
    type: dict
    default: {kind: inventory}
    suboptions:
      kind: {description: Kind., type: str, choices: [inventory, shared_name, release], default: inventory}
      shared_name:
        description: Agent name that others may have too; a release that gets it is verified as such.
        type: str
        default: ""
      release: {description: Id of a kept release., type: str, default: ""}
  compose:
    description: Text of C(compose.yml) with C(@release_id@), C(@project@) and C(@api_port@) where these belong.
    type: str
    default: ""
  env:
    description: Environment of each compose service; written to C(<service>.env), mode 0600.
    type: dict
    default: {}
  secret_env:
    description: As O(env), for values that are secret.
    type: dict
    default: {}
  images:
    description: Image of each compose service. A service without one is none of the release.
    type: dict
    default: {}
  archives:
    description:
      - The images that come from archives, by their names on the host. Each with C(path), C(ids), C(config) and
        C(tops), as M(image_archive_info) reads them.
    type: dict
    default: {}
  unresolved:
    description: Why images named by a tag could not be resolved, or archives not be read; the host is refused then.
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
    required: true
  api_ports:
    description: Two ports of 127.0.0.1; a new release takes the one that the serving release does not use.
    type: list
    elements: int
    required: true
  force:
    description: Make a release although nothing changed.
    type: bool
    default: false
  adopt_project:
    description: Compose project that is taken over where no release serves; it is the release before then.
    type: str
    default: ""
  leave_projects:
    description: Compose projects whose workers may run beside a first release; any other that is not taken over is
      refused.
    type: list
    elements: str
    default: []
  min_free_mb:
    description: Space on the host's disk without which no release is begun, in MiB.
    type: int
    default: 0
  min_free_memory_mb:
    description: Memory that has to be available for the new worker beside the old one, in MiB; a host with less is
      refused.
    type: int
    default: 0
  clock_skew_limit_seconds:
    description: How far the host's clock may be from O(controller_time) at most; 0 is any.
    type: float
    default: 0.0
  livekit_nodes:
    description: How many nodes the LiveKit server has, as the filter C(livekit_nodes) answers. With several no gate
      is used.
    type: int
    default: 1
  candidate_suffix:
    description: What is added to the agent name for a candidate name, after a hyphen.
    type: str
    default: candidate
attributes:
  check_mode:
    description: Answers what it would do, writes nothing and takes no lock.
    support: full
  diff_mode:
    description: Shows agent name, images and release before and after.
    support: full
extends_documentation_fragment:
  - livekit_deploy.application
  - livekit_deploy.owner
  - livekit_deploy.clock
  - livekit_deploy.playbooks
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Begin a release
  agent_release_plan:
    app: sidekick
    owner: "{{ '' | livekit_run_owner }}"
    alive: "{{ '' | livekit_alive }}"
    compose: "{{ lookup('ansible.builtin.template', 'compose.yml.j2') }}"
    images: {agent-worker: "registry.example.com/bot@sha256:0000"}
    stamp: 20260101T000000Z
    api_ports: [18101, 18102]
"""

RETURN = r"""
fence:
  description: Fencing number for the steps that follow; none where there is nothing to do, and in check mode.
  returned: when the host can take a release
  type: int
plan:
  description:
    - What the run is to do. C(changed), C(reasons), C(id), C(project), C(api_port), C(images), C(hash), C(agent_name),
      C(agent_name_before), C(previous), C(hook) (the worker asks the probe hook), C(gated) (its gate can be used),
      C(candidate) (else the name under which it is proven first), C(rolled_back) (how the release is not what the
      inventory says, on purpose), C(returns_from) (that of the release it replaces), C(adopted) (it is a hand-made
      project that was taken over) and C(passed_over) (releases before the serving one that have its content, which a
      rollback to V(previous) passes over).
  returned: when the host can take a release
  type: dict
cleared:
  description: Ids of releases that an earlier run left unfinished.
  returned: when the host can take a release
  type: list
  elements: str
overtook:
  description: The run that never gave its lock back, or none.
  returned: when the host can take a release
  type: str
missing:
  description: What the host lacks that C(provision.yml) would install; empty, since such a host is refused.
  returned: when the host can take a release
  type: list
  elements: str
report_notes:
  description: What the user is told at the end of the run.
  returned: when the host can take a release
  type: list
  elements: str
send:
  description: The archives whose images the host lacks, each with its C(path) on the controller and the
    C(destination) it has to be copied to.
  returned: when the host can take a release
  type: list
  elements: dict
release:
  description: The record of the serving release; with it everything that M(agent_release_info) reads.
  returned: when the host can take a release
  type: dict
"""

import time
from typing import Any, cast

from ansible.module_utils.livekit_deploy.common import commands, values
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.common.text import Masker
from ansible.module_utils.livekit_deploy.machine import command
from ansible.module_utils.livekit_deploy.machine.command import Run
from ansible.module_utils.livekit_deploy.release import begin, content, images, lock, notes, records, refusal
from ansible.module_utils.livekit_deploy.release.errors import TROUBLE
from ansible.module_utils.livekit_deploy.release.plan import Goal, Order
from ansible.module_utils.livekit_deploy.release.proxy import upstream_path
from ansible.module_utils.livekit_deploy.release.store import Releases

# What is run while the lock is held; waiting for it comes on top.
DEADLINE_SECONDS = 120.0
ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    **lock.OPTIONS,
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
    "unresolved": {"type": "str", "default": ""},
    "record": {"type": "dict", "default": {}},
    "instance_host": {"type": "str", "default": ""},
    "playbooks": commands.OPTION,
    "stamp": {"type": "str", "required": True},
    "api_ports": {"type": "list", "elements": "int", "required": True},
    "force": {"type": "bool", "default": False},
    "adopt_project": {"type": "str", "default": ""},
    "leave_projects": {"type": "list", "elements": "str", "default": []},
    "min_free_mb": {"type": "int", "default": 0},
    "min_free_memory_mb": {"type": "int", "default": 0},
    "clock_skew_limit_seconds": {"type": "float", "default": 0.0},
    "controller_time": {"type": "float"},
    "livekit_nodes": {"type": "int", "default": 1},
    "candidate_suffix": {"type": "str", "default": "candidate"},
}
Params = dict[str, Any]


class RefusalError(Exception):
    """The host cannot take a release; the text says found, expected and what to do."""


def order(p: Params) -> Order:
    given = p["goal"]
    given_images = {service: image for service, image in p["images"].items() if image}
    made_of = content.given_content(p["compose"], p["env"], p["secret_env"], list(given_images) or records.SERVICES)
    goal = Goal(given["kind"], made_of, given["shared_name"], given["release"])
    record = cast(records.Record, {**p["record"], "app": p["app"]})
    return Order(
        goal,
        p["stamp"],
        p["instance_host"],
        p["api_ports"],
        images=given_images,
        record=record,
        force=p["force"],
        min_free_mb=p["min_free_mb"],
        min_free_memory_mb=p["min_free_memory_mb"],
        nodes=p["livekit_nodes"],
        candidate_suffix=p["candidate_suffix"],
        adopt=p["adopt_project"],
        leave=p["leave_projects"],
    )


def refuse(p: Params, run: Run) -> None:
    """What keeps a host from taking any release."""
    upstream = upstream_path(p["app"]) if p["images"].get(records.API) else None
    missing = refusal.missing_on_host(run, f"{p['root']}/{p['app']}", upstream)
    if missing:
        # Where Docker itself is missing it was looked at before.
        if missing[0] != "Docker" and (trouble := refusal.docker_trouble(run)):
            raise RefusalError(trouble)
        provision = commands.Playbooks.of(p["playbooks"]).start("provision.yml", limit=p["instance_host"])
        lacks = f"{p['instance_host']} lacks {', '.join(missing)}"
        raise RefusalError(f"found: {lacks}, expected a provisioned host. Run: {provision}")
    if p["unresolved"]:
        raise RefusalError(p["unresolved"])
    if p["goal"]["kind"] == records.SHARED_NAME and not p["goal"]["shared_name"]:
        raise RefusalError(
            "found no livekit_agent_shared_name, expected the name to restore. Set it in the inventory, or say which "
            "release: -e rollback_to=previous"
        )
    if wrong := values.unpassable(p["env"]) + values.unpassable(p["secret_env"]):
        raise RefusalError(f"found: {', '.join(wrong)} in the environment, expected texts: {values.QUOTES}")
    skew = round(time.time() - p["controller_time"], 1) if p["controller_time"] else 0.0
    if p["clock_skew_limit_seconds"] and abs(skew) > p["clock_skew_limit_seconds"]:
        raise RefusalError(
            f"found: the clock of {p['instance_host']} is {skew} s from the controller's, expected at most "
            f"{p['clock_skew_limit_seconds']:g} s: LiveKit refuses tokens of another time. Set the clock (timedatectl)"
        )


def begun(releases: Releases, p: Params, check: bool) -> dict[str, Any]:
    refuse(p, releases.run)
    wanted = order(p)
    claim, wait_seconds = lock.claim(p), p["lock_wait_seconds"]
    answer = begin.preview_run(releases, wanted) if check else begin.begin_run(releases, claim, wait_seconds, wanted)
    plan, current = answer["plan"], answer["release"] or {}
    before = {"release": current.get("id"), "agent_name": current.get("agent_name"), "images": current.get("images")}
    after = {"release": plan["id"], "agent_name": plan["agent_name"], "images": plan["images"]}
    said = notes.plan_notes(p["instance_host"], answer, check, commands.Playbooks.of(p["playbooks"]))
    changed = plan["changed"] or bool(plan["returns_from"])
    send = images.store_images(releases).to_send(p["archives"]) if plan["changed"] and not check else []
    answer.pop("troubles", None)  # the notes have them
    told = {"report_notes": said, "warnings": notes.plan_warnings(p["instance_host"], plan)}
    return {
        "changed": changed,
        "send": send,
        "missing": [],
        "diff": {"before": before, "after": after if plan["changed"] else before},
        **told,
        **answer,
    }


def masker(releases: Releases, p: Params) -> Masker:
    """What takes secrets out of the messages of programs."""
    services = [service for key in ("env", "secret_env") for service in p[key].values() if service]
    given = [{name: str(value) for name, value in service.items()} for service in services]
    return Masker.of(*given, *releases.environments())


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    p = module.params
    runner = command.Runner(DEADLINE_SECONDS, DEADLINE_SECONDS + 2 * p["lock_wait_seconds"])
    releases = Releases(runner, p["app"], f"{p['root']}/{p['app']}", upstream_path(p["app"]))
    module.words = masker(releases, p)
    try:
        answer = begun(releases, p, module.check_mode)
    except (lock.LockError, RefusalError) as error:
        module.fail_json(msg=str(error))
    except TROUBLE as error:
        module.fail_json(msg=f"begin: {error}")
    for text in answer.pop("warnings", []):  # ansible-core shows them at once, and the notes come at the end
        module.warn(text)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
