# SPDX-License-Identifier: Apache-2.0
"""What several modules document alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Named by ``extends_documentation_fragment: [livekit_deploy.<name>]`` in a module, the name in small letters."""

    NO_DIFF = r"""
attributes:
  diff_mode:
    description: Nothing to show.
    support: none
"""

    READS = r"""
attributes:
  check_mode:
    description: Only reads, so check mode changes nothing.
    support: full
  diff_mode:
    description: Nothing to show.
    support: none
"""

    APPLICATION = r"""
options:
  app:
    description: Name of the application; its releases are in C(<root>/<app>).
    type: str
    required: true
  root:
    description: Directory that holds the applications.
    type: path
    default: /opt
"""

    OWNER = r"""
options:
  owner:
    description: The run that takes the lock, as the filter C(livekit_run_owner) tells.
    type: dict
    required: true
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
    description: How long another run is waited for to give the lock back.
    type: float
    default: 30.0
"""

    PLAYBOOKS = r"""
options:
  playbooks:
    description: How this run's user starts a playbook, from C(lookup('livekit_run', 'playbooks')); for the commands
      that are told.
    type: dict
    suboptions:
      sources: {description: The inventories of the run., type: list, elements: str, default: []}
      root: {description: "The project's directory as seen from where the run was started; empty for the same.",
        type: str, default: ""}
"""

    CLOCK = r"""
options:
  controller_time:
    description: The controller's clock in seconds since the epoch when the task started; for RV(clock_skew_seconds).
    type: float
"""

    REGISTRIES = r"""
options:
  registries:
    description:
      - Logins of image registries. Docker gets one in a configuration directory of its own, which is removed
        afterwards; for the images of registries that are not listed the host's own logins count.
    type: list
    elements: dict
    default: []
    suboptions:
      address: {description: "C(host) or C(host:port), as the images name it; C(docker.io) is Docker Hub.", type: str,
        required: true}
      username: {description: User of the registry., type: str, required: true}
      password: {description: "Password of the user, or a token.", type: str, required: true}
"""

    REQUESTS = r"""
options:
  job_ids:
    description: Report the workers' requests for these jobs.
    type: list
    elements: str
    default: []
  rooms:
    description: Report the workers' requests for these rooms.
    type: list
    elements: str
    default: []
  log_patterns:
    description: Regular expressions to look for in each worker's log.
    type: list
    elements: str
    default: []
"""
