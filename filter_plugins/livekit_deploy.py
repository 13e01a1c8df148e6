"""Filters: what the whole inventory says, judged before anything is touched; which probes go out, what was observed.

Where a filter takes ``hostvars`` it is of what the inventory says and what the tasks of this run have registered, of
all hosts.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import ansible.module_utils
import yaml
from ansible import context
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.utils.vars import load_extra_vars

# ansible-core finds the project's module_utils for modules only: a plugin has to extend the path itself.
_ROOT = Path(__file__).resolve().parents[1]
_MODULE_UTILS = str(_ROOT / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.livekit_deploy.common import commands
from ansible.module_utils.livekit_deploy.diagnosis import inputs
from ansible.module_utils.livekit_deploy.fleet import status
from ansible.module_utils.livekit_deploy.inventory import (
    archives,
    batches,
    compose,
    garbled,
    hooks,
    new_host,
    play_options,
    preview,
    problems,
)
from ansible.module_utils.livekit_deploy.inventory.addresses import node_count
from ansible.module_utils.livekit_deploy.inventory.placement import placement_problems
from ansible.module_utils.livekit_deploy.inventory.pools import server_problems
from ansible.module_utils.livekit_deploy.inventory.problems import Groups
from ansible.module_utils.livekit_deploy.inventory.variables import HostVars
from ansible.module_utils.livekit_deploy.livekit.probe import GivenProbe
from ansible.module_utils.livekit_deploy.names import eviction, rename
from ansible.module_utils.livekit_deploy.play import batches as played
from ansible.module_utils.livekit_deploy.play import failed_release, images, owner
from ansible.module_utils.livekit_deploy.play.run import Runs
from ansible.module_utils.livekit_deploy.proof import observations, probes
from ansible.module_utils.livekit_deploy.release.records import HostInfo

_SOURCE = (
    "library/*.py",
    "module_utils/livekit_deploy/**/*.py",
    "roles/*/tasks/*.yml",
    "roles/*/vars/*.yml",
    "roles/*/templates/*",
)

# --- what is wrong with the inventory --------------------------------------------------------------------------------


def livekit_problems(
    hostvars: HostVars, what: str, groups: Groups, hosts: Sequence[str] = (), playbook: str = ""
) -> list[str]:
    """What is wrong, in sentences: `hostvars | livekit_problems('deployment', groups, ansible_play_hosts, 'deploy')`.

    `what` is one of `_PROBLEMS`; `hosts` are those of the run, where the others do not matter.
    """
    return _PROBLEMS[what](hostvars, groups, _command_line([str(host) for host in hosts], playbook))


def _command_line(hosts: Sequence[str], playbook: str) -> problems.CommandLine:
    # ansible-core has read what the command line gives with -e by now, and keeps what it has read.
    return problems.CommandLine(playbook, hosts, [str(name) for name in load_extra_vars(DataLoader())])


@lru_cache(maxsize=1)
def _project() -> problems.Project:
    """What an inventory is held against. All that an answer of ours is made of is there in small letters."""
    specs = {
        path.parts[-3]: yaml.safe_load(path.read_text())
        for path in sorted(_ROOT.glob("roles/*/meta/argument_specs.yml"))
    }
    texts = [path.read_text(encoding="utf-8").lower() for pattern in _SOURCE for path in sorted(_ROOT.glob(pattern))]
    return problems.Project(specs, "\n".join([time.strftime(garbled.TODAY, time.gmtime()), *texts]))


def _example(hostvars: HostVars, groups: Groups, *_: Any) -> list[str]:
    return [one for one in _inventory(hostvars, groups) if one.startswith("Nothing is configured")]


def _inventory(hostvars: HostVars, groups: Groups, *_: Any) -> list[str]:
    return problems.inventory_problems(hostvars, _agents(groups), looks=True)


def _inputs(hostvars: HostVars, groups: Groups, run: problems.CommandLine) -> list[str]:
    return problems.input_problems(hostvars, groups, run, _project().specs)


def _servers(hostvars: HostVars, _groups: Groups, run: problems.CommandLine) -> list[str]:
    """Why the hosts of this run cannot be proven together."""
    return server_problems(hostvars, run.hosts)


def _placement(hostvars: HostVars, groups: Groups, *_: Any) -> list[str]:
    """Why applications cannot be beside each other on a host, also before there is anything to deploy."""
    return placement_problems(hostvars, _agents(groups))


def _deployment(hostvars: HostVars, groups: Groups, run: problems.CommandLine) -> list[str]:
    """All reasons not to deploy."""
    return owner.problems() + problems.problems(hostvars, groups, run, _project())


def _eviction(hostvars: HostVars, groups: Groups, run: problems.CommandLine) -> list[str]:
    return eviction.early_problems(hostvars, _agents(groups), run.hosts, looks=True)


def _removal(hostvars: HostVars, _groups: Groups, run: problems.CommandLine) -> list[str]:
    """Only what is wrong with this host: to end a conflict with another one may be what it is taken out for."""
    return eviction.early_problems(hostvars, run.hosts, run.hosts)


def _agents(groups: Groups) -> list[str]:
    return [str(host) for host in groups.get("agent_hosts") or []]


_PROBLEMS: dict[str, Callable[[HostVars, Groups, problems.CommandLine], list[str]]] = {
    "example": _example,
    "inventory": _inventory,
    "inputs": _inputs,
    "servers": _servers,
    "placement": _placement,
    "deployment": _deployment,
    "eviction": _eviction,
    "removal": _removal,
}


# --- probes, and what came of them -----------------------------------------------------------------------------------

_PROBES: dict[str, Callable[..., list[GivenProbe]]] = {
    "pull": probes.vacancy_probes,
    "start_candidate": probes.candidate_probes,
    "prove": probes.standby_probes,
    "start_api": probes.slot_previews,
    "verify": probes.verification_probes,
    "verify_from_hosts": probes.own_previews,
}
_REFUSALS: dict[str, Callable[..., str]] = {
    "pull": probes.vacancy_trouble,
    "start_candidate": probes.standby_trouble,
    "prove": probes.standby_trouble,
    "start_api": probes.slot_trouble,
}
# Their sentences name commands of this run.
_NAME_COMMANDS = (probes.vacancy_trouble, probes.standby_trouble)


def livekit_probes(hostvars: HostVars, step: str, *more: Any) -> list[GivenProbe]:
    """Return what a step sends: `hostvars | livekit_probes('prove', groups['agent_hosts'], hosts)`."""
    return _PROBES[step](Runs(hostvars), *more)


def livekit_refusal(hostvars: HostVars, step: str, *more: Any) -> str:
    """Return why what came of a step's probes keeps a host from going on; empty where it does not."""
    refuse = _REFUSALS[step]
    named = {"playbooks": _playbooks()} if refuse in _NAME_COMMANDS else {}
    return refuse(Runs(hostvars), *more, **named)


def _playbooks() -> commands.Playbooks:
    """How this run's user starts a playbook."""
    return commands.Playbooks(
        tuple(map(commands.seen_from, context.CLIARGS.get("inventory") or ())), commands.root_of(_ROOT)
    )


def livekit_preview(hostvars: HostVars, host: str, part: str) -> Any:
    """Return a part of a host's preview: `hostvars | livekit_preview(inventory_hostname, 'slot')`.

    `slot` is the request to the new API on its own port, empty where previews are off; `host` the request as the host
    sends it to its own proxy; `log_patterns` what the worker has to log.
    """
    variables = hostvars[host]
    if part == "log_patterns":
        return [one.pattern for one in preview.patterns(variables)]
    if part == "slot":
        return preview.of(variables, host).slot_request() if preview.wanted(variables) else {}
    return preview.of(variables, host).host_request()


def livekit_asked_of_servers(
    hostvars: HostVars, hosts: Sequence[str], others: Sequence[HostInfo]
) -> dict[str, list[str]]:
    """Return which names the log of a LiveKit server is read for, and which worker ids are ours."""
    runs = Runs(hostvars)
    return {"names": probes.served_names(runs, hosts), "own_ids": observations.known_ids(runs, hosts, others)}


# --- a release -------------------------------------------------------------------------------------------------------


def livekit_images(hostvars: HostVars, hosts: Sequence[str]) -> dict[str, Any]:
    """Return the `tags` that a run has to resolve and the `archives` that it has to read."""
    return {"tags": archives.tagged_images(hostvars, hosts), "archives": archives.wanted_archives(hostvars, hosts)}


def livekit_named_images(hostvars: HostVars, hosts: Sequence[str], host: str, app: str) -> dict[str, Any]:
    """Return the `names` of a host's images by reference, their `archives`, and why some are `unresolved`."""
    return images.named(Runs(hostvars), hosts, host, app)


def livekit_renames(
    hostvars: HostVars, group: Sequence[str], hosts: Sequence[str], planned: bool = False
) -> dict[str, Any]:
    """Return the `changes` of names that a run makes, and the `inventory` of who serves and who dispatches to which."""
    runs = Runs(hostvars)
    return {"changes": rename.changes(runs, hosts, planned), "inventory": rename.inventory(runs, group, hosts, planned)}


def livekit_removal(hostvars: HostVars, group: Sequence[str], host: str) -> dict[str, Any]:
    """The same of a host that is taken out, and the `sharers`: the hosts that may serve its name, too."""
    runs = Runs(hostvars)
    return {
        "changes": rename.leaving(runs, host),
        "inventory": rename.beside(runs, group, host),
        "sharers": rename.sharers(runs, group, host),
    }


def livekit_removal_refusal(host: Any, group: Iterable[str], run: Iterable[str]) -> str:
    """Why none is taken out: `remove_host | livekit_removal_refusal(groups['agent_hosts'], ansible_play_hosts_all)`."""
    return rename.removal_refusal([str(one) for one in group], [str(one) for one in run], str(host or ""))


def livekit_removal_unproven(asked: Mapping[str, Any], host: str) -> str:
    """Why it is not known who serves the name of a host that was taken out."""
    return rename.successor_failure(asked, host, _playbooks())


def livekit_compose(services: Mapping[str, Any], project: str, logging: Mapping[str, Any]) -> str:
    """The compose file of a release, as YAML: what each service is made of, without those that have no image."""
    document = compose.document(
        project, {name: given for name, given in services.items() if given["own"]["image"]}, logging
    )
    # ansible-core's own kinds of text are nothing that YAML can be written of.
    return str(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False, width=160, allow_unicode=True))


def livekit_since(value: Any, now: float) -> float | None:
    """`-e diagnose_since=30` or a time, as seconds since the epoch; None where it is empty."""
    try:
        return play_options.since_seconds(value, now)
    except play_options.SinceError as error:
        raise AnsibleFilterError(str(error)) from None


def of_runs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter of `hostvars` for a function that takes what the hosts registered."""

    @functools.wraps(function)
    def called(hostvars: HostVars, *arguments: Any, **named: Any) -> Any:
        return function(Runs(hostvars), *arguments, **named)

    return called


class FilterModule:
    """What ansible-core looks for in a file of filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "livekit_problems": livekit_problems,
            "livekit_nodes": node_count,
            "livekit_probes": livekit_probes,
            "livekit_refusal": livekit_refusal,
            "livekit_preview": livekit_preview,
            "livekit_images": livekit_images,
            "livekit_named_images": livekit_named_images,
            "livekit_compose": livekit_compose,
            "livekit_hooks": hooks.hook_files,
            "livekit_batches": batches.batches,
            "livekit_batch_stop": of_runs(played.stop),
            "livekit_batch_failed": of_runs(played.failed),
            "livekit_batch_released": of_runs(played.released),
            "livekit_released": of_runs(failed_release.is_released),
            "livekit_failure": of_runs(failed_release.failure_text),
            "livekit_hook_failure": failed_release.hook_failure_text,
            "livekit_renames": livekit_renames,
            "livekit_removal": livekit_removal,
            "livekit_removal_refusal": livekit_removal_refusal,
            "livekit_removal_unproven": livekit_removal_unproven,
            "livekit_outside": of_runs(observations.outside),
            "livekit_observations": of_runs(observations.observations),
            "livekit_servers": of_runs(observations.servers),
            "livekit_asked_of_servers": livekit_asked_of_servers,
            "livekit_server_logs": observations.server_logs,
            "livekit_unreached": of_runs(probes.unreached),
            "livekit_preview_answers": of_runs(probes.preview_answers),
            "livekit_since": livekit_since,
            "livekit_suspects_outside": of_runs(inputs.suspects_outside),
            "livekit_diagnosis_inputs": of_runs(inputs.inputs),
            "livekit_eviction_hosts": of_runs(eviction.eviction_hosts),
            "livekit_fleet": of_runs(status.fleet),
            "livekit_known_hosts": new_host.known_hosts,
        }
