# SPDX-License-Identifier: Apache-2.0
"""Which worker takes the dispatches to a name: probes, verdicts, the checks made of them."""
