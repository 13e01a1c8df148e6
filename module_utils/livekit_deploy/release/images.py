# SPDX-License-Identifier: Apache-2.0
"""The images of the releases of one application: brought before a start, removed when no release needs them."""

from __future__ import annotations

from collections.abc import Iterable

from ..machine.images import Archives, ImageError, Images, Logins
from . import records
from .errors import ReleaseError
from .store import Releases


def store_images(releases: Releases) -> Images:
    return Images(releases.run, releases.root)


def bring(
    releases: Releases,
    wanted: Iterable[str],
    logins: Logins = (),
    archives: Archives | None = None,
) -> list[str]:
    """Bring the images that the host does not have; returns them."""
    try:
        return store_images(releases).fetch(wanted, logins, archives)
    except ImageError as error:
        raise ReleaseError(str(error)) from None


def prune_images(releases: Releases) -> list[str]:
    """Remove the images that we brought for releases that are not kept any more."""
    return store_images(releases).prune(records.recorded_images(releases.root.parent))
