# SPDX-License-Identifier: Apache-2.0
"""Kinds of errors of a probe that others act on."""

from __future__ import annotations

# Why an agent counts as not in its room though it joined.
MEDIA = "media"
# What a preview's request ended in where the controller got no connection.
NOT_REACHED = "not_reached"
