#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: from what was observed on hosts and server to checks and verdicts."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.livekit_deploy.common import commands
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.proof.judge import judge

DOCUMENTATION = r"""
---
module: deployment_verdict_info
short_description: Decide for every host whether its worker gets the jobs of its agent name
description:
  - Turns the readings of M(livekit_worker_info) and the probes of M(livekit_dispatch) into named checks
    and one verdict a host.
  - Does no I/O, so it is the same in check mode. It never fails because of a verdict; assert RV(ok) after it.
  - What is not proven is not good, so a missing reading or a missing probe is a failed check.
author: ["livekit-agent-deploy contributors"]
options:
  hosts:
    description:
      - What is known of each host, by inventory name.
      - "C(agent_name), C(pool) (default: the host itself) and C(release): what should be."
      - "C(readings): two results of M(livekit_worker_info), at least 2 s apart."
      - "C(services): C(fastapi) and C(agent-worker), each with C(running) and C(env)."
      - "C(drift): a list of differences to the release record, empty when there are none."
      - "C(own_ids): every worker id that a worker of our releases on the host has or had."
      - "C(hook): whether its worker asks the probe hook (default: it does). C(workers): how many of our workers on it
        take jobs (default: 1)."
      - "C(behind): second readings of the workers whose gate is closed, which without the hook take calls all the
        same."
      - "C(outside) and C(readable): a host outside the run that shares its pool with one of the run; it gets no row of
        its own."
      - "C(parts): the services of its release (default: both). C(asks_preview): whether its API is asked for a preview
        (default: it is)."
      - "C(log_patterns): regular expressions, each with the seconds after the preview's request within which a worker
        that logged its room has to have logged a line that matches."
      - "C(error): why the host could not be read; not given when it could."
    type: dict
    required: true
  probes:
    description:
      - "RV(livekit_dispatch#module:probes) with the ids C(<host>/directed), C(<host>/preview), C(<agent name>/through)
        and C(nobody)."
      - "For a name with a worker that has no hook C(<agent name>/sample/1) and so on, in place of C(directed) and
        C(through)."
    type: dict
    required: true
  check_preview:
    description: Whether previews were sent. If not, the check says "not checked" and holds.
    type: bool
    default: true
  accept_inconclusive:
    description: Whether a routing verdict V(inconclusive) lets a host pass. V(foreign) and V(unreachable) never do.
    type: bool
    default: false
  nodes:
    description:
      - Number of LiveKit server nodes. One probe asks one node, so with more the routing verdict is V(inconclusive),
        unless O(server_logs) has the complete log of each.
    type: int
    default: 1
  server_logs:
    description:
      - What M(livekit_server_log_info) read on each node of the LiveKit server, with C(host).
      - Complete logs of all nodes decide who has a name. Others only add workers, and one without C(workers) could not
        be read.
    type: list
    elements: dict
    default: []
extends_documentation_fragment: [livekit_deploy.playbooks]
attributes:
  check_mode:
    support: full
    description: Only computes.
"""

EXAMPLES = r"""
- name: Decide from readings and probes
  deployment_verdict_info:
    hosts:
      node-a:
        agent_name: support-a
        pool: node-a
        release: 20260102T030405Z-0a1b2c3d
        readings: "{{ [__reading_1, __reading_2] }}"
        services: "{{ __release.services }}"
        drift: "{{ __release.drift }}"
    probes: "{{ __probes.probes }}"
  delegate_to: localhost
  run_once: true
  register: __verdict
"""

RETURN = r"""
report:
  description: Verdict and checks of each host, by inventory name.
  type: dict
  returned: success
  contains:
    agent_name: {description: Agent name in the inventory., type: str}
    release: {description: Release in the record., type: str}
    worker_ids: {description: Ids of the serving worker., type: list, elements: str}
    verdict:
      description:
        - "Who gets the jobs of the name: V(exclusive) = this host, V(shared) = its pool, V(foreign) = others too,
          V(unreachable) = the worker gets none, V(inconclusive) = not proven."
      type: str
    ok: {description: Every check holds., type: bool}
    routing:
      description: "The verdict with C(method), C(seconds), C(not_seen) (what the method cannot see) and C(foreign)
        (worker ids)."
      type: dict
    reason: {description: Why., type: str}
    on_purpose:
      description: How the release is not what the inventory says, on purpose, after a rollback; null where it is.
      type: dict
    probe: {description: "C(job_id), C(worker_id) and C(latency_seconds) of the directed probe, or of the sample that
      its worker took.", type: dict}
    checks:
      description: "C(name), C(ok), C(found), C(expected) and C(remedy) of each check."
      type: list
      elements: dict
ok:
  description: Every check of every host holds, and there is at least one.
  type: bool
  returned: success
report_notes:
  description: Hosts whose API the controller does not reach, so that its preview was asked from the host itself.
  type: list
  elements: str
  returned: success
failed_hosts:
  description: Hosts that are not.
  type: list
  elements: str
  returned: success
"""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "hosts": {"type": "dict", "required": True},
    "probes": {"type": "dict", "required": True},
    "check_preview": {"type": "bool", "default": True},
    "accept_inconclusive": {"type": "bool", "default": False},
    "nodes": {"type": "int", "default": 1},
    "server_logs": {"type": "list", "elements": "dict", "default": []},
    "playbooks": commands.OPTION,
}


@guarded
def main() -> None:
    module = Module(argument_spec=ARGUMENTS, supports_check_mode=True)
    p = module.params
    try:
        switches = {"preview": p["check_preview"], "accept_inconclusive": p["accept_inconclusive"]}
        seen = {
            "nodes": p["nodes"],
            "server_logs": p["server_logs"],
            "playbooks": commands.Playbooks.of(p["playbooks"]),
        }
        answer = judge(p["hosts"], p["probes"], **switches, **seen)
    except Exception as error:
        module.fail_json(msg=f"unexpected {type(error).__name__}: {error}")
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
