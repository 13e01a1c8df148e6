# SPDX-License-Identifier: Apache-2.0
"""What Ansible has of hosts, under one name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The variables of a host by name. A value may be anything, and is templated only when it is read: each read may raise.
Variables = Mapping[str, Any]
# Those of all hosts by inventory name, as Ansible's ``hostvars``.
HostVars = Mapping[str, Variables]
