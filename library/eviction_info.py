#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Decide who holds an agent name, and whether a worker may be stopped."""

from __future__ import annotations

DOCUMENTATION = r"""
module: eviction_info
short_description: Decide who holds an agent name, and whether a worker may be stopped
description:
  - From what M(livekit_worker_info) read everywhere on the hosts, the releases that are on record there, verdicts and
    the logs of LiveKit servers. Does no I/O, and stops nothing.
  - A worker of a release of the pool that the inventory gives the name to is never a target, unless the inventory gives
    the name to several pools.
  - Makes the report when O(conclude) is set or the request is refused.
options:
  hosts:
    description: What is known of each host, as the filter C(livekit_eviction_hosts) makes it of the variables of a
      play.
    type: dict
    required: true
  name:
    description: Look at this agent name only; without it at all names of the inventory.
    type: str
    default: ""
  worker_id:
    description: The worker that is to be stopped.
    type: str
    default: ""
  verdicts:
    description: RV(deployment_verdict_info#module:report), once something was proven.
    type: dict
    default: {}
  server_logs:
    description: Results of M(livekit_server_log_info).
    type: list
    elements: dict
    default: []
  drained:
    description: Result of M(livekit_worker), once the worker was told to stop.
    type: dict
    default: {}
  accept_inconclusive:
    description: Whether a verdict V(inconclusive) is good enough after an eviction.
    type: bool
    default: false
  conclude:
    description: Whether this is the end of the run.
    type: bool
    default: false
attributes:
  check_mode:
    description: Only computes; in check mode nothing is proven afterwards.
    support: full
extends_documentation_fragment: [livekit_deploy.no_diff, livekit_deploy.playbooks]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Decide whether the worker may be stopped
  eviction_info:
    hosts: "{{ hostvars | livekit_eviction_hosts(groups) }}"
    worker_id: AW_kavsLX8sqGQ5
  delegate_to: localhost
  run_once: true
  register: __decided
"""

RETURN = r"""
target:
  description: The worker to stop, with C(host), C(container), C(agent_name) and C(worker_ids); none when there is
    nothing to stop.
  returned: success
  type: dict
prove:
  description: Hosts whose name is to be proven.
  returned: success
  type: list
  elements: str
problems:
  description: Why the request is refused, each with C(found), C(expected) and C(remedy).
  returned: success
  type: list
  elements: dict
trouble:
  description: Why the run has to fail in the end, as one text; empty when it has not.
  returned: success
  type: str
report_lines:
  description: The result as text.
  returned: with O(conclude), or when there are RV(problems)
  type: list
  elements: str
report_documents:
  description: The result as C(evict.json).
  returned: with O(conclude), or when there are RV(problems)
  type: dict
"""

from typing import Any

from ansible.module_utils.livekit_deploy.common import commands
from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.names.eviction_report import conclude
from ansible.module_utils.livekit_deploy.names.holders import Case
from ansible.module_utils.livekit_deploy.names.stopping import decide_eviction

ARGUMENT_SPEC: dict[str, Any] = {
    "hosts": {"type": "dict", "required": True},
    "name": {"type": "str", "default": ""},
    "worker_id": {"type": "str", "default": ""},
    "verdicts": {"type": "dict", "default": {}},
    "server_logs": {"type": "list", "elements": "dict", "default": []},
    "drained": {"type": "dict", "default": {}},
    "playbooks": commands.OPTION,
    "accept_inconclusive": {"type": "bool", "default": False},
    "conclude": {"type": "bool", "default": False},
}


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    known = {key: value for key, value in module.params.items() if key not in ("conclude", "playbooks")}
    case = Case(**known, playbooks=commands.Playbooks.of(module.params["playbooks"]), checking=module.check_mode)
    decided = decide_eviction(case)
    refusals = [refusal.as_dict() for refusal in decided["problems"]]
    ended = module.params["conclude"] or refusals
    report = conclude(case, decided) if ended else {"trouble": ""}
    module.exit_json(changed=False, target=decided["target"], prove=decided["prove"], problems=refusals, **report)


if __name__ == "__main__":
    main()
