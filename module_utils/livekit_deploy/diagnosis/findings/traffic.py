# SPDX-License-Identifier: Apache-2.0
"""What comes in: web requests, and what the API makes of them."""

from __future__ import annotations

from collections.abc import Sequence

from ...gather.types import Dispatch, ProxyEvidence
from ..finding import Finding, Holds, RuledOut, Unknown, through_the_api
from ..flow import destination, dispatch_count
from ..host_view import HostView
from ..missing import MissingError, as_mapping, need
from ..moments import epoch_seconds, utc
from ..sightings import worker_place


@through_the_api
def api_not_running(host: HostView) -> Finding:
    service = host.service_read("fastapi")
    if service.get("running") is False:
        return Holds([f"container {service.get('container')} of the API on {host.name} does not run"])
    if host.release and "services" in host.evidence and "fastapi" not in host.evidence["services"]:
        return Holds([f"release {host.release} on {host.name} has no container of the service fastapi"])
    need(host.service("fastapi"), "running", f"whether the API of {host.name} runs")
    return RuledOut(f"container {service.get('container')} runs")


@through_the_api
def api_fails(host: HostView) -> Finding:
    api = host.api_read
    sent, failed = dispatch_count(api), api.get("failed")
    if failed:
        failures = f"the API on {host.name} failed to dispatch {failed} times since {host.since}"
        against = [f"{sent} dispatches went out in that time"] if sent else []
        return Holds([f"{failures}, last: {api.get('last_failure')}"], against, certain=failed >= sent)
    need(host.api_log(), "failed", f"the failures of the API on {host.name}")
    if not sent:
        return Unknown(f"the API on {host.name} logged no dispatch since {host.since}", idle=True)
    return RuledOut(f"{sent} dispatches and no failure in the API's log since {host.since}")


@through_the_api
def nobody_listened(host: HostView) -> Finding:
    need_pool_requests(host)
    mine = [d for d in host.dispatches if d.get("agent_name") == host.agent_name]
    nowhere = [d for d in mine if destination(host, d) is None]
    begins = max(member.log_begins() for member in host.members())
    if lost := [d for d in nowhere if (epoch_seconds(d.get("time")) or 0.0) >= begins]:
        return lost_dispatches(host, mine, lost)
    host.api_log()
    if nowhere:
        older = f"{len(nowhere)} of {len(mine)} dispatches are older than the logs of the workers of"
        raise MissingError(f"{older} {host.agent_name!r}, which begin at {utc(begins)}")
    if not mine:
        quiet = f"the API on {host.name} logged no dispatch to {host.agent_name!r}"
        return Unknown(f"{quiet} since {host.since}", idle=True)
    return RuledOut(f"all {len(mine)} dispatches that the API on {host.name} logged reached a worker that was read")


def need_pool_requests(host: HostView) -> None:
    """MissingError unless the API's log and the job requests of the whole pool are known."""
    host.api()
    for member in host.members():
        for worker in member.workers():
            need(worker, "requests", f"the job requests of {worker_place(worker)} on {member.name}")


def lost_dispatches(host: HostView, mine: Sequence[Dispatch], lost: Sequence[Dispatch]) -> Holds:
    first, last = utc(lost[0].get("time")), utc(lost[-1].get("time"))
    reached = f"dispatches to {host.agent_name!r} that reached no worker that was read"
    text = f"{reached}: {len(lost)} of {len(mine)}, from {first} to {last}"
    registered = f"the worker here is registered since {utc(host.worker.get('registered_since'))}"
    all_read = not any(other.unread for other in host.world.hosts)
    example = f"for example room {lost[-1].get('room')}"
    return Holds([text, registered, example], certain=all_read and len(lost) == len(mine))


@through_the_api
def no_web_traffic(host: HostView) -> Finding:
    proxy = host.proxy_read
    busy = requests_elsewhere(host)
    if proxy.get("read") and proxy.get("requests") == 0 and busy and host.proxy_log():
        elsewhere = ", ".join(f"{count} on {name}" for name, count in busy.items())
        return Holds([f"nginx on {host.name} saw no request since {host.since}; {elsewhere}"], certain=False)
    requests = need(host.proxy(), "requests", f"the requests nginx saw on {host.name}")
    if requests:
        last = utc(proxy.get("last"))
        return RuledOut(f"nginx on {host.name} saw {requests} requests since {host.since}, last at {last}")
    host.proxy_log()
    return Unknown(f"nginx saw no request on any host that was read since {host.since}", idle=True)


def requests_elsewhere(host: HostView) -> dict[str, int]:
    """Return how many requests the proxies of the other hosts saw."""
    others = [other for other in host.world.agent_hosts if other is not host]
    return {other.name: seen for other in others if (seen := other.proxy_read.get("requests"))}


@through_the_api
def web_errors(host: HostView) -> Finding:
    proxy = host.proxy_read
    requests, failed = proxy.get("requests") or 0, server_errors(proxy)
    if proxy.get("read") and failed:
        text = f"nginx on {host.name} answered {failed} of {requests} requests since {host.since} with 5xx"
        return Holds([text], certain=2 * failed >= requests)
    need(host.proxy_log(), "by_status", f"the status of nginx's answers on {host.name}")
    if not requests:
        return Unknown(f"nginx on {host.name} saw no request since {host.since}", idle=True)
    seen = f"the {requests} requests that nginx on {host.name} saw since {host.since}"
    return RuledOut(f"none of {seen} failed with 5xx")


def server_errors(proxy: ProxyEvidence) -> int:
    counts: dict[str, int] = as_mapping(proxy.get("by_status"))
    return sum(count for status, count in counts.items() if str(status).startswith("5"))
