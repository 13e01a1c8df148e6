# SPDX-License-Identifier: Apache-2.0
"""One run on one host: its steps under the host's lock, and how it ended in the host's history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import abandon, choices, drain, history, images, records
from .abandon import Abandoned
from .errors import ReleaseError
from .lock import Lock
from .store import Releases


class Deployment:
    """``root`` is ``/opt/<app>``; each method needs the fencing number that ``begin`` answered."""

    def __init__(self, releases: Releases) -> None:
        self.releases = releases
        self.lock = Lock(releases.root)

    def step(self, fence: int, name: str, deadline_seconds: float, work: Callable[[], Any]) -> Any:
        """Do one step, if the lock is still ours."""
        with self.lock.held(fence, name, deadline_seconds):
            return work()

    def pull(self, fence: int, release_id: str, deadline_seconds: float, bring: Callable[[], list[str]]) -> list[str]:
        """Bring a release's images. Where those of a release that was to be rolled back to are gone, the others are
        told."""
        try:
            brought: list[str] = self.step(fence, "pull", deadline_seconds, bring)
        except ReleaseError as error:
            made = self.releases.record(release_id) or {}
            back, current = made.get("rolled_back"), self.releases.current()
            if not (back and back["kind"] == records.RELEASE and current):
                raise
            here = images.store_images(self.releases).are_here
            lacking = [one["id"] for one in self.releases.records() if not here(one.get("images") or {})]
            able = choices.choices_text(self.releases, current, [release_id, *lacking])
            raise ReleaseError(f"{error}. {able}") from None
        return brought

    def abandon(self, fence: int, reason: str) -> Abandoned:
        """Take the run's release back, note it, give the lock back. A full disk keeps the lock's record from being
        written, not this."""
        with self.lock.held(fence, self.lock.read().step, 120.0, noted_as="abandon", insist=True) as record:
            target = record.change["to"]
            done = abandon.take_back(self.releases, target)
        with drain.noted(done["log"], "how the run ended is not noted"):
            self.close(fence, history.KEPT if done["serving"] == target else history.TAKEN_BACK, None, reason)
        return done

    def end(self, fence: int, ending: drain.Ending, verdict: str | None, reason: str) -> dict[str, list[str]]:
        """Drain and stop what no longer serves, note what was released, give the lock back.

        The release was proven and serves: what of this cannot be done is told in ``troubles``, and takes nothing
        back."""
        done: dict[str, list[str]] = {
            "draining": [],
            "retired": [],
            "removed": [],
            "images_removed": [],
            "troubles": [],
        }
        troubles: list[str] = []
        seconds = 2 * ending.wait_seconds + ending.overlap_seconds + 120.0
        with (
            drain.noted(troubles, "the releases before are not ended"),
            self.lock.held(fence, "drain", seconds, insist=True),
        ):
            done |= drain.retire_all(self.releases, ending)
            with drain.noted(troubles, "images that no release needs are not removed"):
                done["images_removed"] = images.prune_images(self.releases)
        with drain.noted(troubles, "the release is not noted in the history, or the lock not given back"):
            self.close(fence, history.RELEASED, verdict, reason)
        return {**done, "troubles": [*done["troubles"], *troubles]}

    def close(self, fence: int, outcome: str, verdict: str | None, reason: str) -> None:
        """Note how the run ended and give the lock back, whatever keeps the note from being written."""
        with self.lock.changing(5.0):
            record = self.lock.read()
            if record.owner is None or record.fence != fence:
                return
            try:
                history.append(self.releases.history, history.run_entry(record, outcome, verdict, reason))
            finally:
                self.lock.release(fence)
