"""The standby gate: a small file that says whether this worker takes real calls."""

from __future__ import annotations

import logging
from pathlib import Path

from ._decide import Gate

DEFAULT_GATE_PATH = "/run/livekit-deploy/state"
_READ_AT_MOST = 64

logger = logging.getLogger("livekit_deploy_hook")


class GateFile:
    """Reads the gate anew each time, because the file is replaced while the worker runs.

    Only the word ``closed`` closes. Anything else is open, since the two mistakes are not equal:
    a standby worker that takes a call early serves it with the new release; a serving worker that
    loses its file and closes takes a whole name out of service, in silence. A worker that is not
    run by a deployment has no file at all.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._warned = False

    def read(self) -> Gate:
        """Return the gate as the file has it now."""
        try:
            with self.path.open("rb") as file:
                state = file.read(_READ_AT_MOST).strip()
        except FileNotFoundError:
            return Gate.OPEN
        except OSError as error:
            self._warn_once(str(error))
            return Gate.OPEN
        if state == b"closed":
            return Gate.CLOSED
        if state != b"open":
            self._warn_once(f"content {state!r} is neither open nor closed")
        return Gate.OPEN

    def _warn_once(self, problem: str) -> None:
        """Log the first problem only: the file is read for every request."""
        if not self._warned:
            self._warned = True
            logger.warning(
                "gate file is not usable, the gate counts as open",
                extra={"gate": str(self.path), "problem": problem},
            )
