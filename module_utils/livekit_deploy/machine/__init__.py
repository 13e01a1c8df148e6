# SPDX-License-Identifier: Apache-2.0
"""A host's own programs: Docker, processes, sockets, nginx, certificates, images. Runs on a host."""
