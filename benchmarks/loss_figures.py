# SPDX-License-Identifier: Apache-2.0
"""What the loss benchmark counts, and what it writes and prints. Pure: nothing here runs or waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.e2e.calls import API, DIRECT, Call

WAYS = {API: "API", DIRECT: "direct"}
SEED, OURS = "seed", "ours"
UNDISTURBED = "undisturbed minute"
Document = dict[str, Any]

READ_ME = (
    (
        "Sent: dispatches. Lost: those that no worker answered, by its own log or by LiveKit's list, "
        "and those answered with an error."
    ),
    (
        "Longest gap: between two answers, at the worker. "
        "Worst latency: from the dispatch to the worker's answer, or its agent in the room."
    ),
    "Both of what was sent after the first 8 s. What the undisturbed minute has too is the LiveKit server's own.",
    "API: POST to the API (ours: through nginx). Direct: CreateRoom with the dispatch, to the name that the API has.",
    (
        "After a rename direct load goes on to the old name, too, "
        "until overlap_seconds after the old API's last answer; then nothing is sent"
    ),
    "to it, because nobody promises to serve it. By hand nothing is promised: 0 s.",
    (
        "The rate is that of each way; over two hosts it is shared out. At 5 a second every fifth is a real job; "
        "the worker answers all others"
    ),
    "itself, in its hook.",
    "Calls: in progress at the beginning; they finish when the agent stays until the caller hangs up after the end.",
)


def answered_at(call: Call, answered: Mapping[str, float]) -> float | None:
    """When a worker answered a call; None when the call is lost.
    The worker's log tells first, LiveKit's list is the other witness."""
    if call.status != 200:
        return None
    return answered.get(call.room if call.real else call.nonce) or call.listed or None


def longest_gap(sent: Sequence[float], answered: Sequence[float]) -> float:
    """The longest time without an answer, between the first dispatch and the last."""
    if not sent:
        return 0.0
    first, last = min(sent), max(sent)
    points = sorted([first, *(at for at in answered if at <= last), last])
    return max(after - before for before, after in pairwise(points)) if len(points) > 1 else 0.0


def gaps(calls: Sequence[Call], answered: Mapping[str, float]) -> float:
    """Longest gap of all calls of a way, and of each name alone: while two are served one would hide the other's."""
    groups = [
        list(calls),
        *([call for call in calls if call.agent_name == name] for name in {call.agent_name for call in calls}),
    ]
    return max(
        longest_gap(
            [call.sent for call in group], [at for call in group if (at := answered_at(call, answered)) is not None]
        )
        for group in groups
    )


def figures(calls: Sequence[Call], answered: Mapping[str, float], steady: float = 0.0) -> dict[str, Any]:
    """Figures of one way to one host. Every call can be lost; the times are those of what was sent from `steady` on."""
    found = [(call, at) for call in calls if (at := answered_at(call, answered)) is not None]
    timed = [call for call in calls if call.sent >= steady]
    return {
        "sent": len(calls),
        "lost": len(calls) - len(found),
        "longest_gap_seconds": round(gaps(timed, answered), 2) if timed else 0.0,
        "worst_latency_seconds": round(
            max((at - call.sent for call, at in found if call.sent >= steady), default=0.0), 2
        ),
        "http_errors": sum(call.status != 200 for call in calls),
    }


def together(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of several hosts as one: numbers add up, the worst time counts."""
    return {key: (max if key.endswith("_seconds") else sum)(part[key] for part in parts) for key in parts[0]}


def ways_of(streams: Sequence[Sequence[Call]], answered: Mapping[str, float], steady: float = 0.0) -> dict[str, Any]:
    """The figures of each way, from the calls of each host."""
    return {
        way: together([figures([call for call in calls if call.way == way], answered, steady) for calls in streams])
        for way in WAYS
    }


def lost_nothing(ways: Mapping[str, Any]) -> bool:
    return all(figure["sent"] > 0 and figure["lost"] == 0 and figure["http_errors"] == 0 for figure in ways.values())


def counts(run: Mapping[str, Any], session: Mapping[str, Any]) -> bool:
    """A run counts only if an undisturbed minute at its rate in its session lost nothing."""
    undisturbed = session["undisturbed"].get(str(run["rate"]))
    return bool(undisturbed) and lost_nothing(undisturbed["ways"])


def runs_of(document: Mapping[str, Any], case: str, rate: int) -> list[dict[str, Any]]:
    """The runs of a case at a rate that count, of all sessions."""
    return [
        run
        for session in document["sessions"]
        for run in session["runs"]
        if (run["case"], run["rate"]) == (case, rate) and counts(run, session)
    ]


def missing(document: Mapping[str, Any], cases: Sequence[str], rates: Sequence[int], runs: int) -> list[str]:
    """Which of the listed cases were not measured as often as wanted."""
    found = {(case, rate): len(runs_of(document, case, rate)) for rate in rates for case in cases}
    return [f"{case} at {rate} a second: {n} of {runs} runs" for (case, rate), n in found.items() if n < runs]


def is_without_loss(run: Mapping[str, Any]) -> bool:
    return lost_nothing(run["ways"]) and run["calls"]["finished"] == run["calls"]["held"] > 0


def failures(document: Mapping[str, Any], ours: Sequence[str]) -> list[str]:
    """Runs of ours that lost something; also those that do not count, because nothing may hide there."""
    runs = [run for session in document["sessions"] for run in session["runs"] if run["case"] in ours]
    return [
        f"{run['case']} at {run['rate']} a second lost something: {run['ways']}, {run['calls']}"
        for run in runs
        if not is_without_loss(run)
    ]


# --- the table -------------------------------------------------------------------------------------------------------

FORM = "{:<33}  {:<6}  {:>14}  {:>11}  {:>11}  {:>13}  {:>11}  {:>11}"
HEADINGS = ("", "way", "sent", "lost", "longest gap", "worst latency", "HTTP errors", "calls ended")
UNDER = ("", "", "", "", "", "", "", "by caller")


def listed(values: Sequence[Any]) -> str:
    return " ".join(str(value) for value in values)


def row(what: str, way: str, found: Sequence[Mapping[str, Any]], calls: str) -> str:
    figures = [one["ways"][way] for one in found]
    gap, latency = (max(figure[key] for figure in figures) for key in ("longest_gap_seconds", "worst_latency_seconds"))
    told = [listed([figure[key] for figure in figures]) for key in ("sent", "lost", "http_errors")]
    return FORM.format(what, WAYS[way], told[0], told[1], f"{gap:.2f} s", f"{latency:.2f} s", told[2], calls).rstrip()


def rows(what: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Two lines: through the API, directly."""
    held = (
        f"{listed([run['calls']['finished'] for run in found])} of {found[0]['calls']['held']}"
        if "calls" in found[0]
        else ""
    )
    return [row(what if way == API else "", way, found, held if way == API else "") for way in WAYS]


def table(document: Mapping[str, Any], cases: Mapping[str, str]) -> list[str]:
    """`cases`: the name and the side of each. One value for each run; of the times the worst of all runs."""
    lines = []
    for rate in document["rates"]:
        undisturbed = [s["undisturbed"][str(rate)] for s in document["sessions"] if str(rate) in s["undisturbed"]]
        lines += [
            f"{rate} dispatches a second on each way",
            FORM.format(*HEADINGS).rstrip(),
            FORM.format(*UNDER).rstrip(),
            "-" * 126,
        ]
        lines += rows(UNDISTURBED, undisturbed) if undisturbed else []
        for side in (SEED, OURS):
            found = {case: runs_of(document, case, rate) for case, of in cases.items() if of == side}
            lines += ["by hand" if side == SEED else "this project"] if any(found.values()) else []
            lines += [line for case, runs in found.items() if runs for line in rows(f"  {case}", runs)]
        lines.append("")
    return lines
