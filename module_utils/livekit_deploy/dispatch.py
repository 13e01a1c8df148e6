# SPDX-License-Identifier: Apache-2.0
"""Probes of a LiveKit server, any number at the same time: who takes a dispatch to this agent name?

The first half decides and does no I/O; the second half asks the server.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import signal
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ansible.module_utils.livekit_deploy import client, preview
from ansible.module_utils.livekit_deploy.client import Connection, LiveKitError
from ansible.module_utils.livekit_deploy.text import parsed, token_room

SERVER_FLOOR_SECONDS = 0.21  # the server asks no worker earlier
POLLS_PER_SECOND = 500  # of all probes together
COLD_SECONDS = 1.0
DISPATCH_SECONDS = 3.0  # a dispatch is in the list when its creation is answered
JOB_SECONDS = 1.0
STAY_SECONDS = 0.5  # an agent that fails right after it joined is gone by then
MEDIA_SECONDS = 2.0  # a media connection that may be made stands 0.05 s after the list has the agent (measured)
LEAVE_SECONDS = 3.0
ABOUT = (
    "Harmless routing check of a deployment: it proves which LiveKit worker serves this agent name. "
    "No call is on this room and nobody waits in it. If your worker got this job, it is registered under "
    "an agent name that the sender believes to be its own: one of you should choose another name."
)

TLS_REMEDY = "correct the certificate of the proxy; one of an authority of your own: verification_preview.ca_file"
# Where a name resolves and nothing drops packets, a connection stands long before.
CONNECT_SECONDS = 5.0
REACH_REMEDY = "let this controller reach it, or set verification_preview.url to an address that it reaches"
PREVIEW_REMEDY = "read the log of the API container and of the proxy in front of it"


@dataclass(frozen=True)
class Spec:
    """One dispatch to send and what is expected of it."""

    id: str
    kind: str
    expect: str
    agent_name: str
    nonce: str
    metadata: str = ""
    wanted: str = ""
    deployment: str = ""
    start_after: float = 0.0
    window: float = 10.0
    deadline: float = 20.0
    request: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] | None = None
    tries: int = 1
    stay: float = STAY_SECONDS

    @property
    def room(self) -> str:
        return f"livekit-deploy-{self.kind}-{self.nonce}"

    keep: float = 0.0

    @property
    def empty_timeout(self) -> int:
        """The server's own clean-up, should ours never happen; longer than what is waited for, or the answer is lost."""
        return math.ceil(max(self.window, self.deadline, self.keep)) + 20


def metadata_of(probe: dict[str, Any], nonce: str) -> str:
    """What the worker that is asked can read."""
    own = object_in(probe.get("metadata") or "{}")
    if probe["kind"] == "plain" and own is not None:
        return json.dumps({**own, "livekit_deploy_dispatch": 1, "nonce": nonce, "about": ABOUT})
    if probe["kind"] == "rehearsal":
        own = own or {}
        return json.dumps({**own, "livekit_deploy_rehearsal": probe.get("instance") or "", "nonce": nonce})
    if probe.get("metadata"):
        return str(probe["metadata"])
    if probe["kind"] != "probe":
        return json.dumps({"livekit_deploy_dispatch": 1, "nonce": nonce, "about": ABOUT})
    wanted = {key: probe[key] for key in ("release", "instance", "process") if probe.get(key)}
    if probe.get("instances") is not None:
        wanted["instances"] = list(probe["instances"])
    return json.dumps({"livekit_deploy_probe": 1, "nonce": nonce, "mode": probe.get("mode") or "answer", **wanted, "about": ABOUT})


def problems_of(probes: list[dict[str, Any]], *, leave: bool = False) -> list[str]:
    """What is wrong with the probes as given; nothing is sent while there is any."""
    found = [f"probe id {name!r} is used twice" for name, times in Counter(spec.id for spec in specs_of(probes, 0)).items() if times > 1]
    for probe in probes:
        name, kind, mode = probe["id"], probe["kind"], probe.get("mode") or "answer"
        if leave and kind not in ("probe", "plain"):
            found.append(f"{name}: a {kind} has to be watched while it is under way, so it cannot be left")
        if kind == "preview" and not (probe.get("request") or {}).get("url"):
            found.append(f"{name}: a preview needs request.url")
        if kind != "preview" and probe.get("expect") != "nobody" and not probe.get("agent_name"):
            found.append(f"{name}: agent_name is missing or empty (an empty name would reach every worker without a name)")
        if kind == "probe" and mode == "answer_if" and not (probe.get("instance") or probe.get("release")):
            found.append(f"{name}: mode answer_if needs instance or release")
        if (probe.get("count") or 1) < 1:
            found.append(f"{name}: count must be at least 1")
        if kind == "preview" and probe.get("expect") == "nobody":
            found.append(f"{name}: a preview cannot expect nobody")
        if probe.get("expect") == "dispatch" and not (kind == "preview" and probe.get("agent_name")):
            found.append(f"{name}: only a preview with agent_name can expect a dispatch")
        if kind == "rehearsal" and object_in(probe.get("metadata") or "{}") is None:
            found.append(f"{name}: the metadata of a rehearsal has to be a JSON object, the instance is added to it")
    return found


def object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, None where it is something else."""
    found = parsed(text)
    return found if isinstance(found, dict) else None


def specs_of(probes: list[dict[str, Any]], window: float) -> list[Spec]:
    """The dispatches to send, those that wait out the whole window first."""
    specs = [spec for probe in probes for spec in expanded(probe, window)]
    return sorted(specs, key=lambda spec: spec.expect != "nobody")


def expanded(probe: dict[str, Any], window: float) -> list[Spec]:
    """A count above 1 gives the ids `<id>/1`, `<id>/2` and so on."""
    count = probe.get("count") or 1
    return [
        replace(
            one_spec(probe, window),
            id=f"{probe['id']}/{number + 1}" if count > 1 else probe["id"],
            start_after=number * (probe.get("spacing_seconds") or 0.0),
        )
        for number in range(count)
    ]


def one_spec(probe: dict[str, Any], window: float) -> Spec:
    nonce = secrets.token_hex(8)
    name = probe.get("agent_name") or ("" if probe["kind"] == "preview" else f"nobody-{secrets.token_hex(8)}")
    return Spec(
        id=probe["id"],
        kind=probe["kind"],
        expect=probe.get("expect") or "job",
        agent_name=name,
        nonce=nonce,
        metadata=metadata_of(probe, nonce),
        wanted=(probe.get("instance") or probe.get("release") or "") if probe.get("mode") == "answer_if" else "",
        deployment=probe.get("deployment") or "",
        window=probe.get("window_seconds") or window,
        deadline=probe.get("deadline_seconds") or 20.0,
        request=probe.get("request") or {},
        answer=probe.get("answer"),
        tries=probe.get("tries") or 1,
        stay=max(STAY_SECONDS, probe.get("stay_seconds") or 0.0),
    )


def find_dispatch(dispatches: list[dict[str, Any]], agent_name: str, dispatch_id: str = "") -> dict[str, Any] | None:
    """Our dispatch: by id where it is known, else by name (a room may have one with the name "" as well)."""
    for dispatch in dispatches:
        if dispatch["id"] == dispatch_id if dispatch_id else dispatch["agent_name"] == agent_name:
            return dispatch
    return None


def find_job(dispatch: dict[str, Any] | None) -> dict[str, Any] | None:
    """The job a worker took; a job listed as pending without a worker is not taken yet."""
    jobs = (dispatch or {}).get("jobs") or []
    taken = [job for job in jobs if job["worker_id"] or job["status"] != "JS_PENDING"]
    return next((job for job in taken if job["worker_id"]), taken[0] if taken else None)


def poll_delay(elapsed: float, active: int, expect: str = "job") -> float:
    """Seconds until the next look: short while an answer is likely, longer when many probes look."""
    usual = 1.0 if expect == "nobody" else 0.1 if elapsed < 1.0 else 0.25
    return max(usual, active / POLLS_PER_SECOND)


def blank(spec: Spec) -> dict[str, Any]:
    """A result before anything is known."""
    empty = dict.fromkeys(("dispatch_id", "job_id", "worker_id", "status", "latency_seconds", "in_room", "error_kind"))
    known = {"kind": spec.kind, "expect": spec.expect, "agent_name": spec.agent_name or None, "nonce": spec.nonce}
    room = None if spec.kind == "preview" else spec.room
    return {
        **known,
        "room": room,
        **empty,
        "outcome": "error",
        "reason": "interrupted before an answer",
        "begun": spec.start_after,
        "seconds": 0.0,
        "tried": {},
    }


def taken_text(name: str, job: dict[str, Any], latency: float) -> str:
    worker = job["worker_id"] or "a worker whose id this server does not tell (LiveKit servers before 1.9.1)"
    how = "answered by" if job["status"] == "JS_SUCCESS" else "taken by"
    return f"job {job['id']} for {name!r} {how} {worker}, in the server's list after {latency:.2f} s"


def nobody_text(name: str, window: float, wanted: str = "") -> str:
    directed = f", directed at {wanted}," if wanted else ""
    return f"no worker took a dispatch to {name!r}{directed} within {window:g} s; the server does not offer it again"


def no_media_text(identity: str, seconds: float) -> str:
    return f"{identity} has no media connection within {seconds:g} s: LiveKit lists it as joined and not as active"


def waits_of(results: dict[str, dict[str, Any]], window: float) -> list[dict[str, Any]]:
    """What the run had to wait for, once for each cause."""
    slow = [r["latency_seconds"] for r in results.values() if (r["latency_seconds"] or 0) > COLD_SECONDS]
    empty = [r["seconds"] for r in results.values() if r["outcome"] == "nobody"]
    waits = [{"what": "dispatch list cold", "seconds": max(slow)}] if slow else []
    return waits + ([{"what": "search window", "seconds": round(max([window, *empty]), 1)}] if empty else [])


def value_at(data: Any, path: str) -> str:
    """A text of a JSON answer by its key; dots go deeper, numbers into lists."""
    for key in path.split("."):
        if isinstance(data, list) and key.isdecimal():
            data = data[int(key)] if int(key) < len(data) else None
        else:
            data = data.get(key) if isinstance(data, dict) else None
    return str(data) if isinstance(data, str | int) and not isinstance(data, bool) else ""


def room_in(text: str) -> str:
    """A room's name, or that of the room for which an access token is: many APIs answer a token only."""
    room = token_room(text)
    return text if room is None else room


def read_preview(request: dict[str, Any], status: int, text: str) -> tuple[str, str, str]:
    """Room, dispatch id and agent name of the application's answer, or a LiveKitError."""
    where, begin = client.shown_url(request["url"]), " ".join(text[:160].split())
    expected = f"a JSON object with {request['room_key']!r}, HTTP 200"
    if not 200 <= status < 300:
        said = f"answers HTTP {status}" if status > 0 else "does not answer"
        raise LiveKitError("preview", f"{where} {said}: {begin or 'empty'}", expected, PREVIEW_REMEDY)
    data = parsed(text)
    if data is None:
        raise LiveKitError("preview", f"{where} answers no JSON: {begin or 'empty'}", expected, PREVIEW_REMEDY)
    room, dispatch, name = (value_at(data, request[key]) for key in ("room_key", "dispatch_key", "agent_name_key"))
    if not room_in(room):
        keys = f"; it has {', '.join(sorted(map(repr, data))[:12])}" if isinstance(data, dict) else ""
        raise LiveKitError(
            "preview",
            f"no room at {request['room_key']!r} in the answer of {where}{keys}",
            expected,
            "set verification_preview.room to the key that has the room's name, or an access token for it",
        )
    return room_in(room), dispatch, name


def names_of(dispatches: list[dict[str, Any]]) -> list[str]:
    """Agent names that a room's dispatches go to; one with the name "" is the server's own."""
    return sorted({dispatch["agent_name"] for dispatch in dispatches if dispatch["agent_name"]})


def other_name_text(room: str, names: list[str], wanted: str) -> str:
    found = f"dispatches to {', '.join(names)}" if names else "no dispatch to a named agent"
    return f"{found} in room {room!r}, expected one to {wanted!r}: the API has the name from elsewhere than AGENT_NAME"


# What follows asks the server.


@dataclass
class Probe:
    """One dispatch under way, and what became of it."""

    spec: Spec
    result: dict[str, Any]
    crowd: list[int]  # how many probes are looking; shared
    identity: str = ""
    created: float = 0.0
    may_exist: bool = False

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.created

    def fail(self, reason: str, kind: str = "") -> None:
        self.result.update(outcome="error", reason=reason, error_kind=kind)

    def again(self) -> None:
        """Begin anew, in another room: the name of one that is gone is never used again."""
        self.spec = replace(self.spec, nonce=secrets.token_hex(8))
        self.identity, self.created, self.may_exist = "", 0.0, False
        tried, taker = dict(self.result["tried"]), self.result["worker_id"]
        if taker:
            tried[taker] = tried.get(taker, 0) + 1
        self.result.update(blank(self.spec), tried=tried)


async def run_probe(connection: Connection, probe: Probe) -> None:
    """Send one dispatch, or the same again while a worker without the hook takes it, once also when nobody does; the result is the
    last one's."""
    await asyncio.sleep(probe.spec.start_after)
    await try_once(connection, probe)
    refused = 0
    for _ in range(probe.spec.tries - 1):
        # An application that dispatches to another name does so again.
        refused += probe.result["outcome"] == "nobody" and probe.result["agent_name"] == probe.spec.agent_name
        # Only the wanted worker answers without a job; any other of the name takes the job for a real one. A worker that was busy for a
        # moment, as at its start, refuses one dispatch and takes the next.
        astray = probe.spec.kind == "probe" and probe.result["outcome"] == "taken" and probe.result["status"] != "JS_SUCCESS"
        if not astray and not (probe.result["outcome"] == "nobody" and refused == 1):
            return
        probe.again()
        await try_once(connection, probe)


async def try_once(connection: Connection, probe: Probe, *, sent: bool = False) -> None:
    """Send one dispatch, unless it is sent already, see what becomes of it, leave nothing behind."""
    started = time.monotonic()
    try:
        if not sent:
            await (ask_application if probe.spec.kind == "preview" else create)(connection, probe)
        await (watch_dispatch if probe.spec.expect == "dispatch" else watch)(connection, probe)
    except LiveKitError as trouble:
        probe.fail(str(trouble), trouble.kind)
    except Exception as error:  # one probe never fails the others
        probe.fail(f"unexpected {type(error).__name__}: {error}", "unexpected")
    finally:
        probe.result["seconds"] = round(time.monotonic() - started, 3)
        await clean_up(connection, probe)


async def create(connection: Connection, probe: Probe) -> None:
    spec = probe.spec
    probe.may_exist = True
    await connection.create_room(spec.room, spec.empty_timeout, spec.agent_name, spec.metadata, spec.deployment)
    probe.created = time.monotonic()


async def ask_application(connection: Connection, probe: Probe) -> None:
    """Let the application's own API create room and dispatch, as its users do; or take the answer that it gave on its own host."""
    request, answer, result = probe.spec.request, probe.spec.answer, probe.result
    status, text = (answer["status"], answer["text"]) if answer else await http_text(connection, request, probe.spec.deadline)
    probe.created = time.monotonic()
    room, dispatch, name = read_preview(request, status, text)
    probe.may_exist = True
    result.update(room=room, dispatch_id=dispatch or None, agent_name=name or None, in_room=False)
    if not (name or dispatch or probe.spec.expect == "dispatch"):
        await find_name(connection, probe)


async def find_name(connection: Connection, probe: Probe) -> None:
    """To whom the application dispatched, where its answer does not say: the room's own dispatches do."""
    result, wanted = probe.result, probe.spec.agent_name
    names: list[str] = []
    async with looking(probe):
        while not names and probe.elapsed < DISPATCH_SECONDS:
            names = names_of(await client.read(lambda: connection.list_dispatch(result["room"])))
            await asyncio.sleep(0 if names else 0.1)
    if not names:
        raise LiveKitError(
            "preview",
            f"the room {result['room']!r} of the API's answer has no dispatch to a named agent",
            f"one to {wanted!r}" if wanted else "one",
            "correct the API, or verification_preview.room; of an API that dispatches only when a caller joins nothing can be seen: "
            "verification_preview=false",
        )
    result["agent_name"] = wanted if wanted in names else names[0]


async def http_text(connection: Connection, request: dict[str, Any], timeout: float) -> tuple[int, str]:
    body = request.get("body")
    content: dict[str, Any] = {"data": body} if isinstance(body, str) else {} if body is None else {"json": body}
    named, verify = tls_of(request)
    limit = client.aiohttp.ClientTimeout(total=timeout, sock_connect=min(CONNECT_SECONDS, timeout))
    try:
        async with connection.session.request(
            request["method"], request["url"], headers={**named, **(request.get("headers") or {})}, timeout=limit, **content, **verify
        ) as answer:
            return answer.status, (await client.body_of(answer)).decode(errors="replace")
    except (client.aiohttp.ClientError, OSError, ValueError) as error:
        trouble = client.error_of_connection(request["url"], error, "the application's API, which answers with a room")
        kind, remedy = kind_of_silence(trouble.kind, error)
        raise LiveKitError(kind, trouble.found, trouble.expected, remedy) from None


def kind_of_silence(kind: str, error: Exception) -> tuple[str, str]:
    """Kind and remedy of a request without an answer: of one that got no connection, or of one that did and no answer came."""
    if kind == "tls":
        return kind, TLS_REMEDY
    connecting = (client.aiohttp.ClientConnectorError, client.aiohttp.ServerTimeoutError)
    return (preview.NOT_REACHED, REACH_REMEDY) if isinstance(error, connecting) else ("preview", PREVIEW_REMEDY)


def tls_of(request: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and options for a server that is asked by its address and goes by a name."""
    name, secure = request.get("server_name") or "", request["url"].lower().startswith("https:")
    options: dict[str, Any] = {"server_hostname": name} if name and secure else {}
    if not request.get("validate_certs", True):
        options["ssl"] = False
    elif secure and request.get("ca_file"):
        options["ssl"] = ssl.create_default_context(cafile=request["ca_file"])
    return {"Host": name} if name else {}, options


async def watch(connection: Connection, probe: Probe) -> None:
    """Look until a worker has the job, at most the server's search window; a preview: until its agent is there."""
    job = await watch_list(connection, probe)
    if not job:
        return
    probe.identity = job["identity"]
    latency = round(probe.elapsed, 3)
    result = probe.result
    result.update(job_id=job["id"], worker_id=job["worker_id"] or None, status=job["status"], latency_seconds=latency)
    result.update(outcome="taken", reason=taken_text(result["agent_name"], job, latency))
    if probe.spec.kind in ("preview", "rehearsal"):
        await watch_room(connection, probe)


async def watch_dispatch(connection: Connection, probe: Probe) -> None:
    """Is there a dispatch to the wanted name in the room? Who takes it is not asked, but one that was taken is ended in order."""
    spec, result = probe.spec, probe.result
    found: list[dict[str, Any]] = []
    async with looking(probe):
        while not (dispatch := find_dispatch(found, spec.agent_name)) and probe.elapsed < DISPATCH_SECONDS:
            found = await client.read(lambda: connection.list_dispatch(result["room"]))
            await asyncio.sleep(0.1)
        result["agent_name"] = spec.agent_name
        if not dispatch:
            result.update(outcome="nobody", reason=other_name_text(result["room"], names_of(found), spec.agent_name))
            return
        result.update(dispatch_id=dispatch["id"], outcome="dispatched", reason=f"dispatch {dispatch['id']} to {spec.agent_name!r}")
        while not (job := find_job(dispatch)) and probe.elapsed < JOB_SECONDS:
            await asyncio.sleep(0.1)
            dispatch = find_dispatch(await client.read(lambda: connection.list_dispatch(result["room"])), spec.agent_name)
    if job:
        probe.identity = job["identity"]
        result.update(job_id=job["id"], worker_id=job["worker_id"] or None, status=job["status"])


async def watch_list(connection: Connection, probe: Probe) -> dict[str, Any] | None:
    """The job, or None when a look at the end of the window shows none. A look that fails proves nothing."""
    spec, result = probe.spec, probe.result
    await asyncio.sleep(max(0.0, SERVER_FLOOR_SECONDS - probe.elapsed))
    async with looking(probe):
        while True:
            late = probe.elapsed >= spec.window
            try:
                dispatches = await client.read(lambda: connection.list_dispatch(result["room"]), client.READ_TRIES if late else 1)
                found = find_dispatch(dispatches, result["agent_name"] or "", result["dispatch_id"] or "")
                if found:
                    result.update(dispatch_id=found["id"], agent_name=found["agent_name"])
                if (job := find_job(found)) or late:
                    break
            except LiveKitError as trouble:
                if late or not trouble.passing:
                    raise
            await asyncio.sleep(min(poll_delay(probe.elapsed, probe.crowd[0], spec.expect), max(0.01, spec.window - probe.elapsed)))
    if not job:
        result.update(
            outcome="nobody",
            reason=nobody_text(result["agent_name"] or result["dispatch_id"], spec.window, spec.wanted),
        )
    return job


async def watch_room(connection: Connection, probe: Probe) -> None:
    """Is the agent of this job in the room with its media connection, and does it stay?"""
    result, listed = probe.result, Listed()
    async with looking(probe):
        while probe.elapsed < probe.spec.deadline or listed.active_since:
            listed.look((await client.read(lambda: connection.participants(result["room"]))).get(probe.identity))
            if listed.here and listed.stayed >= STAY_SECONDS and not result["in_room"]:
                result.update(in_room=True, reason=f"{result['reason']}, {probe.identity} is in the room")
            if result["in_room"] and (listed.stayed >= probe.spec.stay or not listed.here):
                return
            if listed.active_since and not listed.here:
                result["reason"] += f", but {probe.identity} left the room at once: read the worker's log for an exception"
                return
            await asyncio.sleep(poll_delay(probe.elapsed, probe.crowd[0]))
    if listed.silent >= min(MEDIA_SECONDS, probe.spec.deadline / 2):
        result.update(error_kind=preview.MEDIA, reason=f"{result['reason']}, but {no_media_text(probe.identity, probe.spec.deadline)}")
        return
    result["reason"] += (
        f", but {probe.identity} did not join the room within {probe.spec.deadline:g} s: read the worker's log for an exception"
    )


@dataclass
class Listed:
    """What the server's list of a room's participants has said of one of them."""

    here: bool = False
    active_since: float = 0.0
    silent_since: float = 0.0
    silent: float = 0.0  # the longest time in the list without a media connection

    def look(self, active: bool | None) -> None:
        """Take one look: None where it is not in the list."""
        now = time.monotonic()
        self.here = active is not None
        if active:
            self.active_since = self.active_since or now
        elif self.here:
            self.active_since = 0.0
        self.silent_since = (self.silent_since or now) if active is False else 0.0
        self.silent = max(self.silent, now - self.silent_since) if self.silent_since else self.silent

    @property
    def stayed(self) -> float:
        return time.monotonic() - self.active_since if self.active_since else 0.0


@asynccontextmanager
async def looking(probe: Probe) -> AsyncIterator[None]:
    probe.crowd[0] += 1
    try:
        yield
    finally:
        probe.crowd[0] -= 1


async def clean_up(connection: Connection, probe: Probe) -> None:
    """Dispatch, then the job where one runs, then the room. What fails here the server's own time-out removes."""
    room = probe.result["room"]
    if not probe.may_exist:
        return
    with suppress(LiveKitError):
        await end_job(connection, probe, room)
    with suppress(LiveKitError):
        await connection.delete_room(room)


async def end_job(connection: Connection, probe: Probe, room: str) -> None:
    """End the dispatch and let a running agent leave: one that joins after the room's end makes the room again."""
    result, identity = probe.result, probe.identity
    running = bool(identity) and result["status"] != "JS_SUCCESS"
    seen = bool(result["in_room"])
    if running and (probe.spec.kind == "plain" or probe.spec.expect == "dispatch"):  # ended while it starts, a worker logs errors
        seen = await presence(connection, room, identity, True)
    if not result["dispatch_id"] and result["error_kind"] is None:
        found = find_dispatch(await connection.list_dispatch(room), result["agent_name"] or "")
        result["dispatch_id"] = found["id"] if found else None
    if result["dispatch_id"]:
        await connection.delete_dispatch(room, result["dispatch_id"])
    if running and (seen or await presence(connection, room, identity, True)):
        await presence(connection, room, identity, False)


async def presence(connection: Connection, room: str, identity: str, wanted: bool) -> bool:
    """Wait until the agent is in the room, or until it is not; false when that takes too long."""
    end = time.monotonic() + LEAVE_SECONDS
    while (identity in await connection.participants(room)) is not wanted:
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.1)
    return True


# What is sent by one call and looked for by another needs nobody who waits between them. A room with nobody or only an agent in it is
# removed by the server this long after its creation; one whose answer is asked for later is sent again.
KEPT_SECONDS = 60.0
HANDLE = ("id", "kind", "expect", "agent_name", "nonce", "metadata", "deployment", "window", "deadline", "keep")


async def leave(url: str, key: str, secret: str, specs: list[Spec], timeout_seconds: float = 5.0) -> list[dict[str, Any]]:
    """Send all and wait for none; what ``collect`` needs of each. There is no secret in it."""
    probes = [Probe(replace(spec, keep=KEPT_SECONDS), blank(spec), [0]) for spec in specs]
    async with client.connect(url, key, secret, timeout_seconds) as connection:
        await asyncio.gather(*(begin(connection, probe) for probe in probes))
    return [{**{name: getattr(probe.spec, name) for name in HANDLE}, "created": probe.created} for probe in probes]


async def begin(connection: Connection, probe: Probe) -> None:
    """Create the room; where that fails the time of its creation stays 0, and it is sent again when it is collected."""
    with suppress(LiveKitError):
        await create(connection, probe)


async def collect(
    url: str, key: str, secret: str, handles: list[dict[str, Any]], timeout_seconds: float = 5.0
) -> dict[str, dict[str, Any]]:
    """What became of the probes that were left; the results by id. Waits for what is left of each one's window."""
    crowd = [0]
    probes = [left_probe(handle, crowd) for handle in handles]
    async with client.connect(url, key, secret, timeout_seconds) as connection:
        await asyncio.gather(*(look_again(connection, probe) for probe in probes), return_exceptions=True)
    return {probe.spec.id: probe.result for probe in probes}


def left_probe(handle: dict[str, Any], crowd: list[int]) -> Probe:
    spec = Spec(**{name: handle[name] for name in HANDLE})
    created = float(handle["created"])
    fresh = 0.0 <= time.monotonic() - created < KEPT_SECONDS
    return Probe(spec, blank(spec), crowd, created=created, may_exist=True) if created and fresh else Probe(spec, blank(spec), crowd)


async def look_again(connection: Connection, probe: Probe) -> None:
    if not probe.may_exist:
        probe.again()
        await try_once(connection, probe)
        return
    await try_once(connection, probe, sent=True)


async def send(url: str, key: str, secret: str, specs: list[Spec], timeout_seconds: float = 5.0) -> dict[str, dict[str, Any]]:
    """All probes at the same time; the results by id."""
    crowd = [0]
    probes = [Probe(spec, blank(spec), crowd) for spec in specs]
    async with client.connect(url, key, secret, timeout_seconds) as connection:
        # return_exceptions: when cancelled, wait for the clean-up of every probe
        task = asyncio.gather(*(run_probe(connection, probe) for probe in probes), return_exceptions=True)
        with suppress(NotImplementedError, ValueError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await task
    return {probe.spec.id: probe.result for probe in probes}
