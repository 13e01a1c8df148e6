# SPDX-License-Identifier: Apache-2.0
"""Filters that build the probes of a run and gather what its hosts observed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.livekit_deploy import probes


class FilterModule:
    """``hostvars | livekit_standby_probes(hosts)`` and its neighbours."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "livekit_standby_probes": probes.standby_probes,
            "livekit_verification_probes": probes.verification_probes,
            "livekit_tagged_images": probes.tagged_images,
            "livekit_outside": probes.outside,
            "livekit_observations": probes.observations,
        }
