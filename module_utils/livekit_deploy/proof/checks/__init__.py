# SPDX-License-Identifier: Apache-2.0
"""The checks of a verification, each in a file of its name: what has to hold, and what to do where it does not."""
