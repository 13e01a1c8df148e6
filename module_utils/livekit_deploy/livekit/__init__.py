# SPDX-License-Identifier: Apache-2.0
"""The LiveKit server: its API, dispatches to it, its log."""
