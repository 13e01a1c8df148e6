# SPDX-License-Identifier: Apache-2.0
"""One livekit-agents worker: its log, its state, how it is drained. Runs on a host."""
