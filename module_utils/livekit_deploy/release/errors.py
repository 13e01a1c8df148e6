# SPDX-License-Identifier: Apache-2.0
"""Why a step could not be done."""

from __future__ import annotations

from ..machine import docker


class ReleaseError(Exception):
    """A step could not be done; the text says found, expected and what to do."""


# What the world may do to a step.
TROUBLE = (docker.EngineError, ReleaseError, OSError)
