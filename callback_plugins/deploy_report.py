"""Write what a run proved to build/reports/<playbook>.json, however the run ends, and print it as a table."""

from __future__ import annotations

import atexit
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import ansible.constants
import ansible.context
import ansible.module_utils
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar

ROOT = Path(__file__).resolve().parents[1]
# ansible-core finds the project's module_utils for modules only: a plugin has to extend the path itself.
if str(ROOT / "module_utils") not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

from ansible.module_utils.livekit_deploy.common import text, times
from ansible.module_utils.livekit_deploy.fleet import command_line, remembered, report, report_text, secrets
from ansible.module_utils.livekit_deploy.fleet.report_files import (
    not_written,
    path_from_here,
    reports_locked,
    write_report,
)
from ansible.module_utils.livekit_deploy.fleet.types import Content, VerdictEntry
from ansible.module_utils.livekit_deploy.fleet.vault import vaulted_values
from ansible.module_utils.livekit_deploy.play import owner

DOCUMENTATION = """
name: deploy_report
type: aggregate
short_description: Writes what a deployment proved as JSON and prints it as a table
description:
  - Writes C(build/reports/<playbook>.json) at the start of a playbook and again whenever something is known,
    so that it exists and is true also when every host is unreachable or the run is interrupted or killed.
  - A playbook that verified something writes C(verify.json) with the same content too, and keeps the verdict of each
    host in C(verdicts.json) until the next one; hosts that were not part of the run keep theirs.
  - A module's result may carry C(report_documents), a dictionary of file names with a mapping (C(.json)) or a text
    (C(.md), C(.txt)). Each is written beside the others. One with the name of the run's own report is merged over it.
  - A module's result may carry C(report_lines), texts that are shown at the end of a complete run instead of
    the table, and C(report_notes), texts that are shown below it and kept in the report.
  - A playbook that has nothing to do with the group C(agent_hosts) and makes no documents writes nothing.
  - Needs no setting; ansible-core finds it beside the playbooks. C(callbacks_enabled) and C(ANSIBLE_CALLBACK_PLUGINS)
    are the user's.
  - A run in which nothing ran exits with 1, and so does a run whose report could not be written. It is
    warned of at once, and no task fails because of it.
  - Where the output is JSON (C(ANSIBLE_STDOUT_CALLBACK=ansible.posix.json)) the table goes to standard error.
options:
  directory:
    description:
      - Where the reports are written, with mode 0600. The default is C(build/reports) in the project.
      - A relative path begins at the working directory. The directory is made, with mode 0700, where it does not exist.
    type: path
    env:
      - name: LIVEKIT_DEPLOY_REPORTS
"""

GROUP = "agent_hosts"
NOT_OF_THE_INVENTORY = {"hostvars", "groups", "vars", "ansible_facts"}
TAKEN = {"report", "waits", "report_documents", "report_lines", "report_notes"}  # keys of a module's result
EXIT_FAILURE = 1
JSON_OUTPUT = {"json", "jsonl"}
AD_HOC = "__adhoc_playbook__"  # the name that ansible-core gives to `ansible -m`
SUMMING_UP = {"fail", "ansible.builtin.fail", "ansible.legacy.fail", "assert", "ansible.builtin.assert"}


def present_time() -> str:
    return times.stamp(time.time())


def left_out_options() -> dict[str, str]:
    """Return the options of this command line that leave tasks or hosts out, with their values."""
    return command_line.options_leaving_out(ansible.context.CLIARGS)


def listed(part: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list of a result; an empty one for anything else."""
    found = part.get(key)
    return found if isinstance(found, list) else []


class CallbackModule(CallbackBase):
    """Turns what ansible-core tells into calls of a Report, where all judgement is."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "deploy_report"
    CALLBACK_NEEDS_ENABLED = False  # a user's callbacks_enabled must not turn it off

    def __init__(self) -> None:
        super().__init__()
        self.pid = os.getpid()
        self.report: report.Report | None = None
        self.concerned = False
        self.ours = False
        self.results = 0
        self.left_out = 0
        self.play: Any = None
        self.play_hosts: list[str] = []
        self.dropped: set[str] = set()
        self.not_begun: dict[str, set[str]] = {}
        self.watching = False
        self.secrets: set[str] = set()
        self.masked: set[str] = set()
        self.masker: Any = None
        self.written: dict[Path, str] = {}
        self.unwritten: dict[Path, str] = {}
        self.verdicts: dict[str, VerdictEntry] = {}
        self.signal_name = ""

    # --- what ansible-core calls -------------------------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._interrupted()  # another playbook of the same command line
        self.report = None
        if playbook._file_name == AD_HOC:
            return
        self.report = report.Report(Path(playbook._file_name).stem, present_time())
        plays = playbook.get_plays()
        inventory = plays[0].get_variable_manager()._inventory if plays else None
        owner.announce(self._directory(), *(command_line.named_in_vain(inventory) if plays else ()))
        self.concerned = any(GROUP in str(play.hosts) for play in plays)
        places = [Path(play._included_path or playbook._basedir, "here").resolve() for play in plays]
        self.ours = any(ROOT in place.parents for place in places)
        self.play, self.dropped, self.unwritten, self.verdicts = None, set(), {}, {}
        self.results = self.left_out = 0
        self.not_begun = {play._uuid: self._expect(play) for play in plays if "{{" not in str(play.hosts)}
        self._watch_the_end()
        self._write()

    def set_play_context(self, play_context: Any) -> None:
        """Keep the passwords that were asked for (-K, -k)."""
        given = {"become_password": play_context.become_pass, "password": play_context.password}
        self.secrets |= text.secret_values({name: str(value) for name, value in given.items() if value})

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if self.report is None:
            return
        self._note_dropped()
        self.play = play
        self._expect(play)
        magic = play.get_variable_manager().get_vars(play=play)
        if left_out_options().keys() & {"--tags", "--skip-tags"}:
            self.left_out += len(command_line.tasks_left_out(play, magic, ROOT / "roles"))
        self.play_hosts = list(magic.get("ansible_play_batch", []))
        self.not_begun.get(play._uuid, set()).difference_update(self.play_hosts)
        self._write()

    # The arguments are ansible-core's.
    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        if self.report:
            self.report.step = task.get_name()
            self._write()

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.v2_playbook_on_task_start(task, is_conditional=False)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._note_work(result)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._note_work(result)
        if self._take(result.result):
            self._write()

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._note_work(result)
        self._take(result.result)
        if self.report and not ignore_errors:
            sums_up = result.task.action in SUMMING_UP
            message = report_text.failure_message(result.result, result.task.get_name(), sums_up)
            # A task that runs once fails for every host of the play.
            hosts = self.play_hosts if result.task.run_once else [result.host.get_name()]
            self.report.fail(hosts, message, final=sums_up)
        self._write()

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._note_work(result)
        if self.report and not result.task.ignore_unreachable:
            self.report.lose(result.host.get_name(), str(result.result.get("msg", "")).strip())
            self._write()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if self.report is None:
            return
        self._note_dropped()
        failed, options = {*stats.failures, *stats.dark}, left_out_options()
        self.report.end(present_time(), failed=failed, dropped=self.dropped.union(*self.not_begun.values()))
        if self.concerned or (self.ours and not self.results):
            self.report.end_idle(report_text.idle_reason(self.report.playbook, options))
        judged = self.ours and not self.report.idle
        self.report.left_out = report_text.part_reason(self.left_out, options) if judged else ""
        self._write()
        self._write_verdicts()
        self._show()
        self._end_badly(failed)

    def _end_badly(self, failed: set[str]) -> None:
        """Exit here where no host failed and the run is not good all the same.

        ansible-core knows no other way for a callback. What is left of its own end is the clean-up, which is done on
        any exit.
        """
        idle = self.report.idle if self.report else ""
        failures = [*filter(None, [idle]), *(not_written(path, why) for path, why in self.unwritten.items())]
        for line in failures:
            self._display.error(self._redacted(line))
        if not failed and failures:
            raise SystemExit(EXIT_FAILURE)

    # --- how a run can end without v2_playbook_on_stats --------------------------------------------------------------

    def _watch_the_end(self) -> None:
        """Ctrl-C raises KeyboardInterrupt and ends in sys.exit, so atexit sees it; SIGTERM ends the process at once.

        ansible-core's own handlers (which also stop its workers) are called after ours. SIGKILL leaves what was
        written last, which says that the run has not finished.
        """
        if self.watching:
            return
        self.watching = True
        atexit.register(self._at_exit)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._chain(number)

    def _chain(self, number: signal.Signals) -> None:
        theirs = signal.getsignal(number)
        if not callable(theirs):
            return

        def ours(received: int, frame: FrameType | None) -> None:
            self.signal_name = number.name
            if number == signal.SIGTERM and os.getpid() == self.pid:
                self._interrupted()
            theirs(received, frame)

        signal.signal(number, ours)

    def _at_exit(self) -> None:
        if os.getpid() == self.pid:  # not in a forked worker
            self._interrupted()
            if self.report is not None and self.report.interruption:
                self._show()

    def _interrupted(self) -> None:
        if self.report is None or self.report.finished is not None:
            return
        cause = f"the run was interrupted by {self.signal_name}" if self.signal_name else "the run ended early"
        self.report.interrupt(present_time(), cause)
        self._write()

    # --- reading -----------------------------------------------------------------------------------------------------

    def _expect(self, play: Any) -> set[str]:
        """Every host of the play that is in the group, after --limit, has a row from now on."""
        magic = play.get_variable_manager().get_vars(play=play)
        members = set(magic.get("groups", {}).get(GROUP, []))
        hosts = [str(host) for host in magic.get("ansible_play_hosts_all", []) if host in members]
        for name in hosts:
            self.concerned = True
            if self.report is not None and name not in self.report.hosts:
                self.report.expect(name, self._known_of(name, play))
        return set(hosts)

    def _known_of(self, host: str, play: Any) -> str | None:
        """The host's agent name. Its secrets are kept too, to be taken out of whatever a task prints."""
        manager = play.get_variable_manager()
        variables = manager.get_vars(play=play, host=manager._inventory.get_host(host))
        templar = Templar(loader=play.get_loader(), variables=variables)
        found = {}
        for variable in secrets.KNOWN:
            try:
                found[variable] = templar.template(variables[variable])
            except Exception:  # noqa: S112  missing or broken: preflight says so, the report must not fail on it
                continue
        given = {name: value for name, value in variables.items() if name not in NOT_OF_THE_INVENTORY}
        self.secrets |= secrets.host_secrets(found, dict(vaulted_values(given)))
        return str(found["livekit_agent_name"]) if "livekit_agent_name" in found else None

    def _note_work(self, result: Any) -> None:
        self.results += 1
        if self.report is not None:
            self.report.note_work(result.host.get_name())

    def _take(self, result: Mapping[str, Any]) -> bool:
        """Keep what a result, or the items of a loop, has for the report; say whether there was any."""
        if self.report is None:
            return False
        answers = (result, *(result.get("results") or []))
        parts = [part for part in answers if isinstance(part, Mapping) and TAKEN & part.keys()]
        for part in parts:
            self._take_part(self.report, part)
        return bool(parts)

    def _take_part(self, run: report.Report, part: Mapping[str, Any]) -> None:
        rows, documents = part.get("report"), part.get("report_documents")
        if isinstance(rows, Mapping):
            run.add_rows(rows)
            self.verdicts |= remembered.verdict_entries(rows, present_time(), run.playbook)
            self._write_verdicts()
        if documents or part.get("report_lines"):
            self.concerned = True
            self._know_secrets()
        for refusal in run.add_documents(documents) if isinstance(documents, Mapping) else []:
            self._display.warning(refusal)
        run.add_waits(listed(part, "waits"))
        run.lines += map(str, listed(part, "report_lines"))
        run.notes += map(str, listed(part, "report_notes"))

    def _know_secrets(self) -> None:
        """A document may be about any host of the inventory, also one outside --limit."""
        if self.play is not None:
            for name in self.play.get_variable_manager().get_vars(play=self.play).get("groups", {}).get("all", []):
                self._known_of(str(name), self.play)

    def _note_dropped(self) -> None:
        """Hosts that ansible-core took out of the play, also those it never counts as failed.

        A run_once task that fails in a block with a rescue takes every host but the first one out without a failure.
        """
        self.dropped |= set(getattr(self.play, "_removed_hosts", ()))

    # --- writing -----------------------------------------------------------------------------------------------------

    def _directory(self) -> Path:
        return Path(self.get_option("directory") or ROOT / "build" / "reports").absolute()

    def _redacted(self, value: Any) -> Any:
        if self.masker is None or self.masked != self.secrets:
            self.masker, self.masked = secrets.report_masker(self.secrets), set(self.secrets)
        return self.masker.all(value)

    def _files(self) -> dict[Path, str]:
        """What is to be written, by path; the first is the run's own."""
        if self.report is None or not self.concerned:
            return {}
        return {self._directory() / name: self._shown_text(content) for name, content in self.report.files().items()}

    def _shown_text(self, content: Content) -> str:
        shown = self._redacted(content)
        return shown if isinstance(shown, str) else json.dumps(shown, indent=2, ensure_ascii=False) + "\n"

    def _write(self) -> None:
        for path, content in self._files().items():
            if self.written.get(path) != content:
                with self._failures_told(path):
                    write_report(path, content)
                    self.written[path] = content

    @contextmanager
    def _failures_told(self, path: Path) -> Iterator[None]:
        """Go on where a report cannot be written: a deployment is not broken off for it.

        It is said at once, and again at the end.
        """
        try:
            yield
        except OSError as error:
            if not self.unwritten:
                self._display.warning(not_written(path, str(error)))
            self.unwritten[path] = str(error)
        else:
            self.unwritten.pop(path, None)

    def _write_verdicts(self) -> None:
        """Keep these verdicts for the next `status`.

        Those of other hosts stay, also what another run writes at this moment.
        """
        if not self.verdicts:
            return
        path = self._directory() / remembered.VERDICTS
        with self._failures_told(path), reports_locked(path.parent):
            before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
            known, failure = remembered.remembered_verdicts(before)
            if failure:
                lost = f"{failure}; what it told of other hosts is lost"
                self._display.warning(f"{path_from_here(path)} is written anew: {lost}")
            write_report(path, self._shown_text({**known, **self.verdicts}))
            self.verdicts = {}

    def _show(self) -> None:
        if self.report is None or not self.concerned:
            return
        shown = ", ".join(path_from_here(path) for path in self._files() if path not in self.unwritten)
        lines = ["", *self.report.closing(self._redacted), "", f"Report: {shown or 'not written'}", ""]
        as_json = ansible.constants.DEFAULT_STDOUT_CALLBACK.rpartition(".")[2] in JSON_OUTPUT
        self._display.display("\n".join(lines), stderr=as_json)
