# SPDX-License-Identifier: Apache-2.0
"""What a run of a playbook is, on its controller."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible import context
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
---
name: livekit_run
author: ["livekit-agent-deploy contributors"]
short_description: Tell what this run of a playbook is
description:
  - Answers one question about the run and its controller.
options:
  _terms:
    description:
      - C(owner) is the run as the lock of a host knows it. C(alive) are the controller's processes, so that a host
        knows an owner that has ended.
      - C(problems) are the reasons why no run can be made or judged from this controller.
      - C(reports) is the directory of this run's reports.
      - C(playbooks) is how this run's user starts a playbook, for the commands that are told.
      - C(now) is the controller's clock in seconds since the epoch. Jinja's C(now()) has no zone, so its time stamp is
        wrong wherever the controller's zone is not UTC.
    choices: [owner, alive, problems, reports, playbooks, now]
    required: true
"""
EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ lookup('livekit_run', 'owner').name }}"
"""
RETURN = r"""
_raw:
  description: The answer to each question.
  type: list
  elements: raw
"""

# ansible-core finds the project's module_utils for modules only: a plugin has to extend the path itself.
_ROOT = Path(__file__).resolve().parents[1]
_MODULE_UTILS = str(_ROOT / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.livekit_deploy.common import commands
from ansible.module_utils.livekit_deploy.play import owner


def playbooks() -> dict[str, Any]:
    sources = [commands.seen_from(source) for source in context.CLIARGS.get("inventory") or ()]
    return {"sources": sources, "root": commands.root_of(_ROOT)}


ANSWERS: dict[str, Callable[[], Any]] = {
    "owner": owner.owner,
    "alive": owner.alive,
    "problems": owner.problems,
    "reports": owner.reports,
    "playbooks": playbooks,
    "now": time.time,
}


class LookupModule(LookupBase):
    """What ansible-core looks for in a file of a lookup."""

    # ansible-core's signature.
    def run(self, terms: Any, variables: Any = None, **named: Any) -> list[Any]:  # noqa: ARG002
        unknown = [term for term in terms if term not in ANSWERS]
        if unknown:
            raise AnsibleLookupError(f"found {unknown[0]!r}, expected one of {', '.join(ANSWERS)}. Correct it")
        return [ANSWERS[term]() for term in terms]
