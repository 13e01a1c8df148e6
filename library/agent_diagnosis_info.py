#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Gather on a host what shows why its worker gets no jobs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent_diagnosis_info
short_description: Gather on a host what shows why its worker gets no jobs
description:
  - Reads release, workers, the files as they are now, compose projects, the proxy's access log and the API's log.
  - Never fails for what it finds, also on a host that was never provisioned; what could not be read is a sentence in
    RV(unread).
options:
  agent_name:
    description: The agent name the inventory gives the host; chooses among several containers that may be the API.
    type: str
    required: true
  since:
    description:
      - Start of the time looked at, in seconds since the epoch.
      - Without it, when the current release began to serve, but at most O(max_seconds) back.
    type: float
  max_seconds:
    description: How far back to look without O(since).
    type: float
    default: 3600.0
  access_log:
    description: The proxy's access log. Without it, C(/var/log/nginx/<app>.access.log), which the role api_proxy
      configures.
    type: path
  access_log_pattern:
    description:
      - Regular expression for a line of O(access_log), with the groups C(time) and C(status), and C(request) if there
        is one.
      - Without it, the role's own format and nginx's C(combined) are understood.
    type: str
  api_log_pattern:
    description:
      - Regular expression for a line of the API's log that tells of a dispatch, with the groups C(agent_name), C(room),
        C(dispatch_id) and C(error), as far as it has them; a line with C(error) tells of a failure.
      - Without it, JSON lines whose C(event) is C(dispatch_created) or C(dispatch_failed).
    type: str
extends_documentation_fragment: [livekit_deploy.application, livekit_deploy.clock, livekit_deploy.reads]
author:
  - The livekit-agent-deploy authors (@livekit-agent-deploy)
"""

EXAMPLES = r"""
- name: Gather what the host shows
  agent_diagnosis_info:
    app: sidekick
    agent_name: "{{ livekit_agent_name }}"
  register: __sidekick

- name: Gather what it shows of the last ten minutes, with an access log of another format
  agent_diagnosis_info:
    app: sidekick
    agent_name: "{{ livekit_agent_name }}"
    max_seconds: 600
    access_log: /var/log/caddy/agents.log
    access_log_pattern: '"ts":(?P<time>[\d.]+),.*"status":(?P<status>\d+)'
"""

RETURN = r"""
missing:
  description: What the host lacks to take a release; empty when it was provisioned.
  returned: always
  type: list
  elements: str
clock_skew_seconds:
  description: The host's clock minus the controller's, in seconds; includes the time to reach the host. None without
    O(controller_time).
  returned: always
  type: float
time:
  description: The host's clock in seconds since the epoch.
  returned: always
  type: float
since:
  description: Start of the time looked at, in seconds since the epoch.
  returned: always
  type: float
until:
  description: Its end.
  returned: always
  type: float
release:
  description: The record of the serving release, or none.
  returned: always
  type: dict
gate:
  description: The standby gate of the serving release, V(open) or V(closed); none without a release.
  returned: always
  type: str
drift:
  description: What differs between the record and the host, one sentence each.
  returned: always
  type: list
  elements: str
services:
  description: The containers of the serving release by compose service, as M(agent_release_info) returns them.
  returned: always
  type: dict
states:
  description: State of each recorded release by id.
  returned: always
  type: dict
leftovers:
  description: Ids of other releases that still have containers, or were left unfinished by a run that was killed.
  returned: always
  type: list
  elements: str
adopted:
  description: The worker's container of each hand-made compose project that was adopted, with the id of the release
    that the project is.
  returned: always
  type: dict
workers:
  description:
    - A reading of every worker of the host, container or process, as M(livekit_worker_info) returns it with
      O(livekit_worker_info#module:everywhere).
    - C(requests) are all job requests since RV(since), the newest 500.
  returned: always
  type: list
  elements: dict
written:
  description:
    - AGENT_NAME, LIVEKIT_AGENT_NAME and LIVEKIT_URL by compose service, as the files of the serving release say now.
    - A container that has other values was not made from these files; a restart does not change that.
  returned: always
  type: dict
projects:
  description:
    - Every compose project that has containers, with C(name), C(directory), C(services), C(ours) (a release of the
      application), C(has_worker) and C(agent_names).
    - C(written) is as RV(written), for projects of others that have a worker.
  returned: always
  type: list
  elements: dict
proxy:
  description:
    - Requests in the proxy's access log since RV(since), C(by_status) and C(by_request) (the ten most frequent, without
      queries).
    - C(last) is the time of the newest request in the log, also if it is older. C(reach) says from when on all requests
      were counted, as that of a worker's log does.
  returned: always
  type: dict
api:
  description:
    - The API's C(container), whether it is C(running), its C(service), C(url) (LIVEKIT_URL) and C(env) (the agent name
      variables).
    - C(read) tells that its log was understood, so that the rest is known.
    - C(agent_names) counts the dispatches to each name since RV(since), C(dispatches) has the newest 200 with C(room),
      C(dispatch_id), C(agent_name) and C(time); C(failed) counts those that failed, C(last_failure) says why. C(reach)
      is that of its log.
  returned: always
  type: dict
unread:
  description: What could not be read, one sentence each. It rules nothing out.
  returned: always
  type: list
  elements: str
"""

import time
from typing import Any

from ansible.module_utils.livekit_deploy.common.answer import Module, guarded
from ansible.module_utils.livekit_deploy.gather import evidence
from ansible.module_utils.livekit_deploy.machine import command
from ansible.module_utils.livekit_deploy.release import refusal
from ansible.module_utils.livekit_deploy.release.proxy import site_path, upstream_path
from ansible.module_utils.livekit_deploy.release.store import Releases

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    "agent_name": {"type": "str", "required": True},
    "since": {"type": "float"},
    "max_seconds": {"type": "float", "default": 3600.0},
    "access_log": {"type": "path"},
    "access_log_pattern": {"type": "str"},
    "api_log_pattern": {"type": "str"},
    "controller_time": {"type": "float"},
}
# All that one reading runs, where an Engine does not answer.
TOTAL_SECONDS = 180.0
HANDED_ON = ("agent_name", "since", "max_seconds", "access_log_pattern", "api_log_pattern")


@guarded
def main() -> None:
    module = Module(ARGUMENT_SPEC, supports_check_mode=True)
    p = module.params
    skew = round(time.time() - p["controller_time"], 1) if p["controller_time"] else None
    directory, upstream = f"{p['root']}/{p['app']}", upstream_path(p["app"])
    releases = Releases(command.Runner(total_seconds=TOTAL_SECONDS), p["app"], directory, upstream)
    access_log = p["access_log"] or f"/var/log/nginx/{p['app']}.access.log"
    # Only our own log begins with our own site.
    site = "" if p["access_log"] else site_path(p["app"])
    options = evidence.Options(access_log=access_log, site=site, **{name: p[name] for name in HANDED_ON})
    missing = refusal.missing_on_host(releases.run, directory, refusal.awaited_upstream(releases), ask_engine=False)
    module.exit_json(changed=False, clock_skew_seconds=skew, missing=missing, **evidence.gather(releases, options))


if __name__ == "__main__":
    main()
