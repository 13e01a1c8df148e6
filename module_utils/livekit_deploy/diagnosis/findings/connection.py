# SPDX-License-Identifier: Apache-2.0
"""Server, key, address, clock: can the worker reach the LiveKit server and be accepted?"""

from __future__ import annotations

from ...inventory.addresses import normalised_url
from ...release.records import API
from ...worker.types import WorkerReading
from ..finding import Finding, Holds, RuledOut, Unknown
from ..host_view import HostView
from ..missing import MissingError, as_mapping, need
from ..moments import utc
from ..sightings import worker_label, worker_place
from ..types import LogLines

CLOCK_LIMIT_SECONDS = 30.0


def last_failure(worker: WorkerReading) -> LogLines:
    found: LogLines = as_mapping(worker.get("last_failure"))
    return found


def last_failure_text(worker: WorkerReading) -> str:
    failure = last_failure(worker)
    what = failure.get("error") or failure.get("message")
    return f", last at {utc(failure.get('time'))}: {what}" if failure else ""


def server_unreachable(host: HostView) -> Finding:
    server = host.world.server
    if server.get("reachable") is False:
        remedy = {"what_to_do": str(server["remedy"])} if server.get("remedy") else {}
        return Holds([str(server.get("found") or "the LiveKit server did not answer")], values=remedy)
    need(server, "reachable", "whether the LiveKit server answers")
    return RuledOut(f"the LiveKit server answered the controller in {server.get('seconds')} s")


def wrong_key(host: HostView) -> Finding:
    server, worker = host.world.server, host.worker
    if found := [*refused_inventory(host), *refused_worker(host)]:
        return Holds(found)
    if not need(server, "key_accepted", "whether the server accepts the key"):
        return Unknown("the server did not answer, so nothing is known of its keys")
    if host.serving("connected"):
        accepted = "the server accepts the inventory's key"
        return RuledOut(f"{accepted}, and {worker_label(worker)} is registered with that of its container")
    host.worker_log()
    if host.serving("failures") and not host.serving("unauthorized"):
        failures = f"the {worker['failures']} connection failures of {worker_place(worker)}"
        return RuledOut(f"none of {failures} has status 401")
    return Unknown(f"{worker_place(worker)} is not connected, and its log does not say why")


def refused_inventory(host: HostView) -> list[str]:
    server = host.world.server
    refused = server.get("reachable") and server.get("key_accepted") is False
    return [str(server.get("found") or "the server refuses the key of the inventory")] if refused else []


def refused_worker(host: HostView) -> list[str]:
    worker = host.worker
    if worker.get("connected") is not False or not worker.get("unauthorized"):
        return []
    refused = f"{worker_place(worker)} was refused {worker['unauthorized']} times with status 401"
    return [refused + last_failure_text(worker)]


def wrong_url(host: HostView) -> Finding:
    worker = host.worker
    failure = last_failure(worker)
    refused = "401, message=" in str(failure.get("error"))
    if failure and worker.get("connected") is False and not worker.get("worker_id") and not refused:
        return Holds(no_server_reached(host))
    if host.serving("connected"):
        since = utc(worker.get("registered_since"))
        return RuledOut(f"{worker_label(worker)} is registered at {worker.get('url')} since {since}")
    if worker.get("worker_id") or refused:
        how = " (it was refused: 401)" if refused else " before it lost it"
        return RuledOut(f"{worker_place(worker)} reached a LiveKit server{how}")
    return Unknown(f"{worker_place(worker)} is not connected, and its log does not say why")


def no_server_reached(host: HostView) -> list[str]:
    worker, url = host.worker, host.data.get("livekit_url")
    reaches = f"{worker_place(worker)} reaches no LiveKit server at {worker.get('configured_url')}"
    found = [reaches + last_failure_text(worker)]
    if normalised_url(str(worker.get("configured_url"))) != normalised_url(str(url)):
        found.append(f"the inventory has livekit_url {url}")
    if host.world.server.get("reachable"):
        found.append(f"the controller reaches the server in {host.world.server.get('seconds')} s")
    return found


def different_urls(host: HostView) -> Finding:
    api, worker = host.api_read, host.worker
    urls = {
        "the inventory": host.data.get("livekit_url"),
        f"the worker's {worker_place(worker)}": worker.get("configured_url"),
    }
    if not host.release or API in host.services:
        urls[f"the API's container {api.get('container')}"] = api.get("url")
    known = {who: str(url) for who, url in urls.items() if url}
    if len({normalised_url(url) or url for url in known.values()}) > 1:
        against = "harmless if all of these addresses lead to one server"
        return Holds([f"{who} has {url}" for who, url in known.items()], [against])
    if len(known) < len(urls):
        raise MissingError(f"the LiveKit URL of {', '.join(set(urls) - set(known))} on {host.name} is not known")
    return RuledOut(f"{' and '.join(urls)} have {host.data.get('livekit_url')}")


def clock_skew(host: HostView) -> Finding:
    skew, server = host.evidence.get("clock_skew_seconds"), host.world.server
    of_the_host = f"the clock of {host.name} is"
    if isinstance(skew, int | float) and abs(skew) > CLOCK_LIMIT_SECONDS:
        return Holds([f"{of_the_host} {skew} s from the controller's; LiveKit refuses tokens of another time"])
    if server.get("kind") == "clock":
        return Holds([str(server.get("found"))])
    if not need(server, "key_accepted", "whether the server accepts a token"):
        need(server, "kind", "why the server does not accept a token")
    return RuledOut(f"{of_the_host} {host.need('clock_skew_seconds')} s from the controller's")
