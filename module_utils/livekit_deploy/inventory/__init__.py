# SPDX-License-Identifier: Apache-2.0
"""What the inventory says, and what is wrong with it."""
