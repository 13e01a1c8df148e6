"""Filters of this project: what the whole inventory says, judged before anything is touched; which probes go out, what was observed."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping
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
from ansible.module_utils.livekit_deploy.inventory import archives, batches, compose, garbled, hooks, new_host, play_options, preview
from ansible.module_utils.livekit_deploy.inventory.arguments import argument_problems
from ansible.module_utils.livekit_deploy.inventory.placement import placement_problems
from ansible.module_utils.livekit_deploy.inventory.problems import inventory_problems, nodes_of, server_problems
from ansible.module_utils.livekit_deploy.names import eviction, rename
from ansible.module_utils.livekit_deploy.play import batches as played
from ansible.module_utils.livekit_deploy.play import owner
from ansible.module_utils.livekit_deploy.proof import probes

_SOURCE = ("library/*.py", "module_utils/livekit_deploy/**/*.py", "roles/*/tasks/*.yml", "roles/*/vars/*.yml", "roles/*/templates/*")
_GROUPS = ("agent_hosts", "suspects", "livekit_servers")


def livekit_inventory_problems(hostvars: Mapping[str, Any], group_hosts: Iterable[str]) -> list[str]:
    """All reasons not to deploy: `hostvars | livekit_inventory_problems(groups['agent_hosts'])`, --limit or not."""
    return inventory_problems(hostvars, [str(host) for host in group_hosts])


def livekit_input_problems(hostvars: Mapping[str, Any], groups: Mapping[str, Any], playbook: str = "") -> list[str]:
    """What the command line and the inventory give under a name that nobody knows, or with another type, for all hosts and roles at once:
    `hostvars | livekit_input_problems(groups, 'deploy')`."""
    specs = {path.parts[-3]: yaml.safe_load(path.read_text()) for path in sorted(_ROOT.glob("roles/*/meta/argument_specs.yml"))}
    hosts = list(dict.fromkeys(str(host) for group in _GROUPS for host in groups.get(group) or []))
    judged, given = hosts or ["localhost"], _given()
    return play_options.problems(hostvars, judged, given, playbook) + argument_problems(hostvars, judged, specs, given)


def _given() -> list[str]:
    """The names of what the command line gives with -e. ansible-core has read them by now, and keeps what it has read."""
    return [str(name) for name in load_extra_vars(DataLoader())]


def livekit_garbled_problems(hostvars: Mapping[str, Any], group_hosts: Iterable[str]) -> list[str]:
    """Secrets that would be masked in this project's own answers: `hostvars | livekit_garbled_problems(groups['agent_hosts'])`."""
    words = f"{time.strftime(garbled.TODAY, time.gmtime())}\n{_source()}"
    return garbled.problems(hostvars, [str(host) for host in group_hosts], words)


@lru_cache(maxsize=1)
def _source() -> str:
    """All that an answer of ours is made of, in small letters."""
    return "\n".join(path.read_text(encoding="utf-8").lower() for pattern in _SOURCE for path in sorted(_ROOT.glob(pattern)))


def livekit_placement_problems(hostvars: Mapping[str, Any], group_hosts: Iterable[str]) -> list[str]:
    """Why applications cannot be beside each other on a host, also before there is anything to deploy."""
    return placement_problems(hostvars, [str(host) for host in group_hosts])


def livekit_server_problems(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> list[str]:
    """Why the hosts of this run cannot be proven together."""
    return server_problems(hostvars, [str(host) for host in hosts])


def livekit_now(_: Any) -> float:
    """Return the controller's clock in seconds since the epoch: `'' | livekit_now`. Jinja's `now()` has no zone, so its time stamp is wrong
    wherever the controller's zone is not UTC."""
    return time.time()


def livekit_since(value: Any, now: float) -> float | None:
    """`-e diagnose_since=30` or a time, as seconds since the epoch; None where it is empty."""
    try:
        return play_options.since_of(value, now)
    except play_options.SinceError as error:
        raise AnsibleFilterError(str(error)) from None


def livekit_run_owner(_: Any) -> dict[str, Any]:
    """This run of a playbook, as the lock of a host knows it: `'' | livekit_run_owner`."""
    return owner.owner()


def livekit_run_problems(_: Any) -> list[str]:
    """Why no run can be made or judged from this controller: `'' | livekit_run_problems`."""
    return owner.problems()


def livekit_reports(_: Any) -> str:
    """The directory of this run's reports: `'' | livekit_reports`."""
    return owner.reports()


def livekit_alive(_: Any) -> list[str]:
    """The controller's processes, so that a host knows an owner of its lock that has ended: `'' | livekit_alive`."""
    return owner.alive()


def livekit_playbooks(_: Any) -> dict[str, Any]:
    """How this run's user starts a playbook, for the commands that are told: `'' | livekit_playbooks`."""
    return {"sources": [commands.seen_from(source) for source in context.CLIARGS.get("inventory") or ()], "root": commands.root_of(_ROOT)}


def with_playbooks(function: Callable[..., str]) -> Callable[..., str]:
    """Return a filter whose text names commands of this run."""

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> str:
        return function(*arguments, **named, playbooks=commands.Playbooks.of(livekit_playbooks("")))

    return called


def livekit_slot_request(variables: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The preview's request to a host's new API on its own port, empty where it is off: `hostvars[host] | livekit_slot_request(host)`."""
    return preview.of(variables, host).slot_request() if preview.wanted(variables) else {}


def livekit_host_request(variables: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The preview's request as a host sends it to its own proxy: `hostvars[host] | livekit_host_request(host)`."""
    return preview.of(variables, host).host_request()


def livekit_log_patterns(variables: Mapping[str, Any]) -> list[str]:
    """What a host's worker has to log: `hostvars[inventory_hostname] | livekit_log_patterns`."""
    return [one.pattern for one in preview.patterns(variables)]


def livekit_compose(services: Mapping[str, Any], project: str, logging: Mapping[str, Any]) -> str:
    """The compose file of a release, as YAML: what each service is made of, without those that have no image."""
    document = compose.document(project, {name: given for name, given in services.items() if given["own"]["image"]}, logging)
    # ansible-core's own kinds of text are nothing that YAML can be written of.
    return str(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False, width=160, allow_unicode=True))


def livekit_removal_refusal(host: Any, group: Iterable[str], run: Iterable[str]) -> str:
    """Why no host is taken out: `remove_host | livekit_removal_refusal(groups['agent_hosts'], ansible_play_hosts_all)`."""
    return rename.removal_refusal([str(one) for one in group], [str(one) for one in run], str(host or ""))


class FilterModule:
    """What ansible-core looks for in a file of filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "livekit_inventory_problems": livekit_inventory_problems,
            "livekit_input_problems": livekit_input_problems,
            "livekit_garbled_problems": livekit_garbled_problems,
            "livekit_placement_problems": livekit_placement_problems,
            "livekit_server_problems": livekit_server_problems,
            "livekit_nodes": nodes_of,
            "livekit_standby_probes": probes.standby_probes,
            "livekit_standby_trouble": with_playbooks(probes.standby_trouble),
            "livekit_candidate_probes": probes.candidate_probes,
            "livekit_slot_previews": probes.slot_previews,
            "livekit_slot_trouble": probes.slot_trouble,
            "livekit_verification_probes": probes.verification_probes,
            "livekit_tagged_images": probes.tagged_images,
            "livekit_digests": probes.digests,
            "livekit_image_archives": archives.wanted,
            "livekit_archived": archives.archived,
            "livekit_eviction_problems": eviction.early_problems,
            "livekit_eviction_hosts": eviction.hosts_of,
            "livekit_diagnosis_inputs": inputs.inputs,
            "livekit_now": livekit_now,
            "livekit_since": livekit_since,
            "livekit_run_owner": livekit_run_owner,
            "livekit_alive": livekit_alive,
            "livekit_run_problems": livekit_run_problems,
            "livekit_reports": livekit_reports,
            "livekit_playbooks": livekit_playbooks,
            "livekit_suspects_outside": inputs.suspects_outside,
            "livekit_outside": probes.outside,
            "livekit_observations": probes.observations,
            "livekit_hooked": probes.hooked,
            "livekit_vacancy_probes": probes.vacancy_probes,
            "livekit_vacancy_trouble": with_playbooks(probes.vacancy_trouble),
            "livekit_known_ids": probes.known_ids,
            "livekit_servers": probes.servers,
            "livekit_server_logs": probes.server_logs,
            "livekit_fleet": status.fleet,
            "livekit_batches": batches.batches,
            "livekit_batch_problems": batches.problems,
            "livekit_batch_stop": played.stop,
            "livekit_batch_failed": played.failed,
            "livekit_batch_released": played.released,
            "livekit_rehearsal_problems": probes.rehearsal_problems,
            "livekit_preview_problems": preview.problems,
            "livekit_slot_request": livekit_slot_request,
            "livekit_host_request": livekit_host_request,
            "livekit_unreached": probes.unreached,
            "livekit_own_previews": probes.own_previews,
            "livekit_preview_answers": probes.preview_answers,
            "livekit_log_patterns": livekit_log_patterns,
            "livekit_compose": livekit_compose,
            "livekit_compose_problems": compose.problems,
            "livekit_hooks": hooks.hooks_of,
            "livekit_served_names": probes.served_names,
            "livekit_hook_problems": hooks.hook_problems,
            "livekit_renames": rename.changes,
            "livekit_rename_inventory": rename.inventory,
            "livekit_known_hosts": new_host.known_of,
            "livekit_removal_refusal": livekit_removal_refusal,
            "livekit_removal_names": rename.leaving,
            "livekit_removal_sharers": rename.sharers,
            "livekit_removal_inventory": rename.beside,
            "livekit_removal_unproven": with_playbooks(rename.successor_failure),
        }
