# SPDX-License-Identifier: Apache-2.0
"""The table of causes: why a worker gets no jobs, what to do, how to test it, how to take it back.

It is data; the findings are functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..worker import log_words
from .finding import Finding
from .findings import connection, foreign, jobs, life, names, traffic
from .host_view import HostView


@dataclass(frozen=True)
class Cause:
    """One row of the table. Texts are templates over the values of ``facts`` and of the finding.

    ``essential``: as long as it is unknown nobody can say that nothing is wrong.
    ``of_release``: it is about what a release has; of a worker that nobody deployed with this project it says nothing.
    ``unmanaged``: only of such a worker.
    """

    id: str
    title: str
    judge: Callable[[HostView], Finding]
    remedy: str
    test: str
    rollback: str
    essential: bool = True
    of_release: bool = False
    unmanaged: bool = False


# What brings a change to the host: deploy.yml, or what starts an unmanaged worker.
DEPLOY = "{deploy}"
VERIFY = "{playbook} {root}playbooks/verify.yml --limit {limit}"
EVICT = "{playbook} {root}playbooks/evict.yml"
COMPOSE = "on {host}: cd /opt/{app}/current && docker compose"
BUILD = f"build the image and run: {DEPLOY}"
SET_BACK = f"set the old value again and run: {DEPLOY}"
OLD_IMAGE = f"set livekit_agent_image to the old image and run: {DEPLOY}"
KEPT = "nothing was changed; the release that serves is kept until the next deployment has proven its own"
OWN_NAME = f"or give {{host}} a name that nobody else has ({{name_place}}) and run: {DEPLOY}"
NAME_BACK = f"put {{name!r}} back ({{name_place}}) and run: {DEPLOY}"
WHERE_IT_RUNS = "; where {worker_id} runs, the LiveKit server's log may say (group livekit_servers)"
ANSWER_IN_TIME = f"answer within {log_words.ANSWER_SECONDS} s in on_request (do the work in the entrypoint)"
RAISE_LOAD = "raise the worker's load_threshold and the server's agents.target_load"
RAISE_JOB_MEMORY = "raise job_memory_limit_mb (jobMemoryLimitMB in agents-js) in the worker's code"
SEND_AGAIN = "send these requests again: the LiveKit server offers a lost dispatch to nobody"
BY_PHONE = "calls by phone are meant for this host"

# The order is that of probability among causes that hold: what stops every job comes first, what follows from it or
# explains a part comes last.
CAUSES: tuple[Cause, ...] = (
    Cause(
        "server_unreachable",
        "The LiveKit server cannot be reached",
        connection.server_unreachable,
        "{what_to_do}",
        "curl -fsS {http_url}",
        "nothing was changed on a host",
    ),
    Cause(
        "no_release",
        "Nothing is deployed on this host",
        life.no_release,
        f"{{playbook}} {{root}}playbooks/provision.yml --limit {{limit}} && {DEPLOY}",
        VERIFY,
        "before this there was nothing to go back to",
        of_release=True,
    ),
    Cause(
        "clock_skew",
        "A clock is off",
        connection.clock_skew,
        "on {host}: timedatectl set-ntp true",
        "on {host}: timedatectl status",
        "on {host}: timedatectl set-ntp false",
    ),
    Cause(
        "wrong_key",
        "The LiveKit server refuses the API key or its secret",
        connection.wrong_key,
        f"set livekit_api_key and livekit_api_secret in the vault to a pair of this server and run: {DEPLOY}",
        VERIFY,
        SET_BACK,
    ),
    Cause(
        "wrong_url",
        "The worker reaches no LiveKit server",
        connection.wrong_url,
        f"correct livekit_url ({{livekit_url}}) in the inventory, or the network of {{host}}, and run: {DEPLOY}",
        VERIFY,
        SET_BACK,
    ),
    Cause(
        "crash_loop",
        "The worker ends and is started again and again",
        life.crash_loop,
        f"correct what its last lines say (on {{host}}: docker logs --tail 100 {{container}}) and run: {DEPLOY}",
        VERIFY,
        KEPT,
    ),
    Cause(
        "not_running",
        "The worker does not run",
        life.not_running,
        "{start_worker}",
        VERIFY,
        "{stop_worker}",
    ),
    Cause(
        "edited_not_recreated",
        "Files were edited, and the containers still have the old environment",
        names.edited_not_recreated,
        f"set livekit_agent_name and livekit_url in the inventory as they shall be and run: {DEPLOY}",
        COMPOSE + " exec agent-worker printenv LIVEKIT_AGENT_NAME",
        SET_BACK,
        of_release=True,
    ),
    Cause(
        "not_deployed",
        "The inventory's name was not deployed",
        names.not_deployed,
        DEPLOY,
        VERIFY,
        SET_BACK,
        of_release=True,
    ),
    Cause(
        "wrong_override",
        "LIVEKIT_AGENT_NAME_OVERRIDE gives the worker another name",
        names.wrong_override,
        f"remove LIVEKIT_AGENT_NAME_OVERRIDE from livekit_agent_env, or from the image, and run: {DEPLOY}",
        VERIFY,
        SET_BACK,
    ),
    Cause(
        "other_environment",
        "The worker's container was created with another name",
        names.other_environment,
        DEPLOY,
        COMPOSE + " exec agent-worker printenv LIVEKIT_AGENT_NAME",
        SET_BACK,
        of_release=True,
    ),
    Cause(
        "hardcoded_name",
        "The worker's code has a name of its own",
        names.hardcoded_name,
        f"remove agent_name from the worker's code (it beats LIVEKIT_AGENT_NAME), {BUILD}",
        VERIFY,
        OLD_IMAGE,
    ),
    Cause(
        "sdk_too_old",
        "livekit-agents is too old for the name in the environment",
        names.sdk_too_old,
        f"build the worker's image with livekit-agents 1.6.0 or newer and run: {DEPLOY}",
        VERIFY,
        OLD_IMAGE,
    ),
    Cause(
        "empty_name",
        "The worker has no name, so it is dispatched automatically and never by name",
        names.empty_name,
        f"set livekit_agent_name in the inventory, remove an empty agent_name from the code, and run: {DEPLOY}",
        VERIFY,
        SET_BACK,
    ),
    Cause(
        "deployment_label",
        "The worker registered with a deployment label",
        names.deployment_label,
        f"remove LIVEKIT_DEPLOYMENT (or deployment in the code), or dispatch with that label, and run: {DEPLOY}",
        VERIFY,
        SET_BACK,
    ),
    Cause(
        "gate_closed",
        "The standby gate of the serving release is closed",
        life.gate_closed,
        f"on {{host}}: echo open > /opt/{{app}}/current/gate/state; find out who closed it; or run: {DEPLOY}",
        VERIFY,
        "on {host}: echo closed > /opt/{app}/current/gate/state",
        of_release=True,
    ),
    Cause(
        "draining",
        "The worker drains and takes no new job",
        life.draining,
        "when it has ended, {start_worker}",
        VERIFY,
        "{stop_worker}",
    ),
    Cause(
        "connection_lost",
        "The worker loses its connection to the LiveKit server",
        life.connection_lost,
        "on {host}: docker logs --tail 100 {container}; check the network and proxies between {host} and {livekit_url}",
        VERIFY,
        "nothing was changed",
    ),
    Cause(
        "api_not_running",
        "The API does not run",
        traffic.api_not_running,
        COMPOSE + " up -d fastapi",
        VERIFY,
        COMPOSE + " stop fastapi",
        of_release=True,
    ),
    Cause(
        "different_urls",
        "API, worker and inventory name different LiveKit servers",
        connection.different_urls,
        f"set one livekit_url in the inventory and run: {DEPLOY}",
        VERIFY,
        SET_BACK,
    ),
    Cause(
        "api_other_name",
        "The API dispatches to another name",
        names.api_other_name,
        f"let the API take its agent name from LIVEKIT_AGENT_NAME ({{name!r}}) and run: {DEPLOY}",
        f"{VERIFY}; the check preview names the agent that the API asks for",
        f"set agent_api_image to the old image and run: {DEPLOY}",
    ),
    Cause(
        "two_here",
        "Several workers of this host have the name",
        foreign.two_here,
        "stop all but one of them on {host}, or give each a name of its own (LIVEKIT_AGENT_NAME of worker and API)",
        VERIFY,
        "start the ones that were stopped again",
        unmanaged=True,
    ),
    Cause(
        "foreign_here",
        "Another worker on this host holds the name: {foreign_place}{foreign_owner}",
        foreign.foreign_here,
        f"{EVICT} -e evict_worker={{worker_id}}; {OWN_NAME}",
        VERIFY,
        f"{{start_again}}; after a change of the name {NAME_BACK}",
        essential=False,  # a good verdict says that nobody else took the jobs
    ),
    Cause(
        "foreign_known",
        "Another worker holds the name: {foreign_place} on {foreign_host}{foreign_owner}",
        foreign.foreign_known,
        f"{EVICT} -e evict_worker={{worker_id}}; {OWN_NAME}",
        VERIFY,
        f"{{start_again}}; after a change of the name {NAME_BACK}",
        essential=False,  # a good verdict says that nobody else took the jobs
    ),
    Cause(
        "foreign_elsewhere",
        "Another worker holds the name, on no host that was read: {worker_id}",
        foreign.foreign_elsewhere,
        OWN_NAME.removeprefix("or ") + WHERE_IT_RUNS,
        VERIFY,
        NAME_BACK,
    ),
    Cause(
        "slow_handler",
        "The worker answers job requests too late or not at all",
        life.slow_handler,
        f"{ANSWER_IN_TIME}, ask the probe hook first, and run: {DEPLOY}",
        VERIFY,
        OLD_IMAGE,
    ),
    Cause(
        "full",
        "The worker is full",
        life.full,
        f"add a host to the pool, or {RAISE_LOAD}; then: {DEPLOY}",
        "{playbook} {root}playbooks/status.yml --limit {limit}",
        "set the old limits again",
    ),
    Cause(
        "out_of_memory",
        "Processes of jobs are killed for want of memory",
        jobs.out_of_memory,
        "raise livekit_agent_memory in the inventory, or take fewer jobs at once (load_threshold or load_fnc in the "
        "worker's code); see what is left: on {host}: docker stats --no-stream {container}; then: "
        f"{DEPLOY}",
        VERIFY,
        SET_BACK,
    ),
    Cause(
        "memory_limit",
        "Processes of jobs exceed the memory limit that the worker's code sets",
        jobs.job_failure(log_words.MEMORY_LIMIT, "of a memory limit that was exceeded"),
        f"{RAISE_JOB_MEMORY}, or let a job use less, {BUILD}",
        VERIFY,
        OLD_IMAGE,
    ),
    Cause(
        "job_crashes",
        "Processes of jobs crash",
        jobs.job_failure(log_words.CRASHED, "of a process that ended by itself"),
        f"correct what the lines before it say (on {{host}}: docker logs --tail 200 {{container}}), {BUILD}",
        VERIFY,
        OLD_IMAGE,
    ),
    Cause(
        "slow_start",
        "Processes of jobs do not get ready",
        jobs.job_failure(log_words.INITIALIZATION, "of a process that did not get ready"),
        f"do less in prewarm, or raise initialize_process_timeout in the worker's code, or its CPUs, {BUILD}",
        VERIFY,
        OLD_IMAGE,
    ),
    Cause(
        "unresponsive",
        "Processes of jobs do not answer the worker any more, which ends them",
        jobs.job_failure(log_words.UNRESPONSIVE, "of a process that was ended because it did not answer"),
        f"let nothing block the event loop of a job (await it, or use asyncio.to_thread), or raise its CPUs, {BUILD}",
        VERIFY,
        OLD_IMAGE,
    ),
    Cause(
        "no_process",
        "Jobs find no process that takes them",
        jobs.job_failure(log_words.NO_PROCESS, "of a job without a process"),
        "see why processes do not start (on {host}: docker logs --tail 200 {container}); raise num_idle_processes in "
        f"the worker's code, or its memory and CPUs; then: {DEPLOY}",
        VERIFY,
        SET_BACK,
    ),
    Cause(
        "request_handler_fails",
        "The worker's handler of job requests fails",
        jobs.job_failure(log_words.REQUEST_HANDLER, "of a handler of job requests that failed"),
        f"correct on_request (requestFunc in agents-js), {BUILD}",
        VERIFY,
        OLD_IMAGE,
    ),
    Cause(
        "entrypoint_fails",
        "Jobs arrive, and the worker's entrypoint fails",
        life.entrypoint_fails,
        f"correct the entrypoint, {BUILD}",
        VERIFY,
        OLD_IMAGE,
    ),
    Cause(
        "api_fails",
        "The API fails to dispatch",
        traffic.api_fails,
        "{api_logs}",
        VERIFY,
        "nothing was changed",
    ),
    Cause(
        "nobody_listened",
        "Dispatches were made that no known worker was asked for",
        traffic.nobody_listened,
        f"{SEND_AGAIN}; if new ones are lost too, run: {VERIFY}",
        VERIFY,
        "nothing was changed",
    ),
    Cause(
        "foreign_gone",
        "Another worker had the name and does not run any more",
        foreign.foreign_gone,
        f"see that nobody starts it again under {{name!r}}; {OWN_NAME}",
        VERIFY,
        NAME_BACK,
        essential=False,
    ),
    Cause(
        "web_errors",
        "nginx answers requests with 5xx",
        traffic.web_errors,
        "on {host}: tail -n 50 /var/log/nginx/error.log; {api_logs}",
        VERIFY,
        "nothing was changed",
    ),
    Cause(
        "no_web_traffic",
        "Web requests reach other hosts and not this one",
        traffic.no_web_traffic,
        "let the load balancer or the DNS name send requests to {address} too, if this host is meant to get any",
        "curl -si http://{address}/ and look for it in nginx's access log on {host}",
        "take {address} out of the load balancer again",
    ),
    Cause(
        "sip_other_name",
        "A SIP dispatch rule names an agent that no host of the inventory has",
        names.sip_other_name,
        f"set the agent name of the rule to {{name!r}} (lk sip dispatch update), if {BY_PHONE}",
        "lk sip dispatch list",
        "set the rule's old agent name again",
        essential=False,
    ),
)
TITLES = {cause.id: cause.title.split(":")[0].split("{")[0].strip() for cause in CAUSES}
