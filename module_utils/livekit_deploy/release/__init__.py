# SPDX-License-Identifier: Apache-2.0
"""Releases on a host: the record, the steps under the lock, what is taken over and removed. Runs on a host."""
