# SPDX-License-Identifier: Apache-2.0
"""What the workers of the lab's hosts log while a case runs, and what that says of each call.

Logs are followed, because they go with their container. A container that is started later is followed, too.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ansible.module_utils.livekit_deploy.common.times import epoch

from tests.e2e.harness import Machine

ANSWERED = "probe answered"
IN_THE_ROOM = "tool call"
ENDED = "process exiting"
SETTLE_SECONDS = 10.0
# `grep` hands on whole lines, so those of two containers never mix. The end of its input ends the follower.
FOLLOW = f"""
follow() {{ docker logs --follow --since "$1" "$2" 2>&1 \
| grep --line-buffered -E '"({ANSWERED}|{IN_THE_ROOM}|{ENDED})"' & }}
since=$(date +%s)
docker events --since "$since" --filter type=container --filter event=start --format '{{{{.ID}}}}' |
    while read -r id; do follow "$since" "$id"; done &
for id in $(docker ps -q); do follow "$since" "$id"; done
cat >/dev/null
kill 0
"""


@dataclass(frozen=True)
class Seen:
    """What the logs say: of a call that the worker answered itself by its nonce, of a real job by its room."""

    answered: dict[str, float]
    ended: dict[str, float]


def seen_in(lines: Iterable[str]) -> Seen:
    """A line that is cut or of another kind says nothing."""
    seen = Seen({}, {})
    for line in lines:
        event = {}
        with suppress(ValueError):
            event = json.loads(line)
        at = epoch(event.get("timestamp")) if isinstance(event, dict) else None
        if at is None:
            continue
        if event.get("message") == ANSWERED:
            seen.answered.setdefault(str(event.get("nonce")), at)
        elif event.get("message") == IN_THE_ROOM:
            seen.answered.setdefault(str(event.get("room")), at)
        elif event.get("message") == ENDED:
            seen.ended.setdefault(str(event.get("room")), at)
    return seen


def finished(rooms: Sequence[str], ended: dict[str, float], hung_up: float) -> int:
    """How many calls in progress lasted until their caller hung up.
    A job that is killed logs no end, one that is cut off an early one."""
    return sum(ended.get(room, 0.0) >= hung_up for room in rooms)


@dataclass
class Witness:
    """Follows the workers of these hosts into files."""

    machines: Sequence[Machine]
    folder: Path
    followers: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = field(default_factory=list)

    def __enter__(self) -> Witness:
        self.folder.mkdir(parents=True)
        for machine in self.machines:
            output = (self.folder / f"{machine.name}.log").open("wb")
            process = subprocess.Popen(
                machine.ssh(FOLLOW), stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL
            )
            self.followers.append((process, output))
        return self

    def __exit__(self, *_: object) -> None:
        for process, output in self.followers:
            process.communicate(timeout=30)  # closes its input
            output.close()

    def seen(self) -> Seen:
        return seen_in(
            line for path in sorted(self.folder.glob("*.log")) for line in path.read_text(errors="replace").splitlines()
        )

    def wait_for_ends(self, rooms: Sequence[str], hung_up: float) -> Seen:
        """The logs, once the last of these calls ended; what did not end soon after its caller hung up never will."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while finished(rooms, self.seen().ended, hung_up) < len(rooms) and time.monotonic() < deadline:
            time.sleep(0.5)
        return self.seen()
