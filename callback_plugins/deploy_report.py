"""Write what a run proved to build/reports/<playbook>.json, however the run ends, and print it as a table."""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import ansible.module_utils
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar

ROOT = Path(__file__).resolve().parents[1]
# ansible-core finds the project's module_utils for modules only: a plugin has to extend the path itself.
if str(ROOT / "module_utils") not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

from ansible.module_utils.livekit_deploy import report  # noqa: E402  the path comes first

DOCUMENTATION = """
name: deploy_report
type: aggregate
short_description: Writes what a deployment proved as JSON and prints it as a table
description:
  - Writes C(build/reports/<playbook>.json) at the start of a playbook and again whenever something is known,
    so that it exists and is true also when every host is unreachable or the run is interrupted or killed.
  - A playbook that verified something writes C(verify.json) with the same content too, and keeps the verdict of each host in
    C(verdicts.json) until the next one; hosts that were not part of the run keep theirs.
  - A module's result may carry C(report_documents), a dictionary of file names with a mapping (C(.json)) or a text (C(.md), C(.txt)).
    Each is written beside the others. One with the name of the run's own report is merged over it.
  - A module's result may carry C(report_lines), texts that are shown at the end of a complete run instead of the table, and
    C(report_notes), texts that are shown below it and kept in the report.
  - A playbook that has nothing to do with the group C(agent_hosts) and makes no documents writes nothing.
requirements:
  - Enabled with C(callbacks_enabled = deploy_report) in ansible.cfg.
options:
  directory:
    description: Where the reports are written. The default is C(build/reports) in the project.
    type: path
    env:
      - name: LIVEKIT_DEPLOY_REPORTS
"""

GROUP = "agent_hosts"
SECRET_VARIABLES = ("livekit_api_secret", "ansible_become_password", "ansible_become_pass", "ansible_password")
TAKEN = {"report", "waits", "report_documents", "report_lines", "report_notes"}  # keys of a module's result
SUMMING_UP = {"fail", "ansible.builtin.fail", "ansible.legacy.fail", "assert", "ansible.builtin.assert"}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One process at a time; the lock ends with the process that holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class CallbackModule(CallbackBase):
    """Turns what ansible-core tells into calls of a Report, where all judgement is."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "deploy_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.pid = os.getpid()
        self.report: report.Report | None = None
        self.concerned = False
        self.play: Any = None
        self.play_hosts: list[str] = []
        self.dropped: set[str] = set()
        self.not_begun: dict[str, set[str]] = {}
        self.watching = False
        self.secrets: set[str] = set()
        self.written: dict[Path, str] = {}
        self.signal_name = ""

    # --- what ansible-core calls -------------------------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._interrupted()  # another playbook of the same command line
        self.report = report.Report(Path(playbook._file_name).stem, now())
        plays = playbook.get_plays()
        self.concerned = any(GROUP in str(play.hosts) for play in plays)
        self.play, self.dropped = None, set()
        self.not_begun = {play._uuid: self._expect(play) for play in plays if "{{" not in str(play.hosts)}
        self._watch_the_end()
        self._write()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._note_dropped()
        self.play = play
        self._expect(play)
        magic = play.get_variable_manager().get_vars(play=play)
        self.play_hosts = list(magic.get("ansible_play_batch", []))
        self.not_begun.get(play._uuid, set()).difference_update(self.play_hosts)
        self._write()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002  ansible-core's signature
        if self.report:
            self.report.step = task.get_name()
            self._write()

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.v2_playbook_on_task_start(task, is_conditional=False)

    def v2_runner_on_ok(self, result: Any) -> None:
        if self._take(result.result):
            self._write()

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._take(result.result)
        if self.report and not ignore_errors:
            sums_up = result.task.action in SUMMING_UP
            message = report.failure_message(result.result, result.task.get_name(), sums_up)
            # A task that runs once fails for every host of the play.
            hosts = self.play_hosts if result.task.run_once else [result.host.get_name()]
            self.report.fail(hosts, message, final=sums_up)
        self._write()

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if self.report and not result.task.ignore_unreachable:
            self.report.lose(result.host.get_name(), str(result.result.get("msg", "")).strip())
            self._write()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if self.report is None:
            return
        self._note_dropped()
        self.report.end(now(), failed={*stats.failures, *stats.dark}, dropped=self.dropped.union(*self.not_begun.values()))
        self._write()
        self._show()

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
        self.report.interrupt(now(), cause)
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
        """The host's agent name. Its secret is kept too, to be taken out of whatever a task prints."""
        manager = play.get_variable_manager()
        variables = manager.get_vars(play=play, host=manager._inventory.get_host(host))
        templar = Templar(loader=play.get_loader(), variables=variables)
        found = {}
        for variable in ("livekit_agent_name", *SECRET_VARIABLES):
            try:
                found[variable] = str(templar.template(variables[variable]))
            except Exception:  # noqa: S112  missing or broken: preflight says so, the report must not fail on it
                continue
        self.secrets |= {found[variable] for variable in SECRET_VARIABLES if found.get(variable)}
        return found.get("livekit_agent_name")

    def _take(self, result: Mapping[str, Any]) -> bool:
        """Keep what a result, or the items of a loop, has for the report; say whether there was any."""
        if self.report is None:
            return False
        parts = [part for part in (result, *(result.get("results") or [])) if isinstance(part, Mapping) and TAKEN & part.keys()]
        for part in parts:
            self._take_part(self.report, part)
        return bool(parts)

    def _take_part(self, run: report.Report, part: Mapping[str, Any]) -> None:
        rows, waits, documents, lines = (part.get(key) for key in ("report", "waits", "report_documents", "report_lines"))
        if isinstance(rows, Mapping):
            run.add_rows(rows)
            self._remember(report.verdict_entries(rows, now(), run.playbook))
        if isinstance(waits, list):
            run.add_waits(waits)
        if documents or lines:
            self.concerned = True
            self._know_secrets()
        for problem in run.add_documents(documents) if isinstance(documents, Mapping) else []:
            self._display.warning(problem)
        if isinstance(lines, list):
            run.lines += [str(line) for line in lines]
        if isinstance(notes := part.get("report_notes"), list):
            run.notes += [str(note) for note in notes]

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
        return Path(self.get_option("directory") or ROOT / "build" / "reports")

    def _redacted(self, value: Any) -> Any:
        return report.redacted(value, sorted(self.secrets, key=len, reverse=True))

    def _files(self) -> dict[Path, str]:
        """What is to be written, by path; the first is the run's own."""
        if self.report is None or not self.concerned:
            return {}
        return {self._directory() / name: self._text(content) for name, content in self.report.files().items()}

    def _text(self, content: Mapping[str, Any] | str) -> str:
        shown = self._redacted(content)
        return shown if isinstance(shown, str) else json.dumps(shown, indent=2, ensure_ascii=False) + "\n"

    def _write(self) -> None:
        for path, text in self._files().items():
            if self.written.get(path) != text:
                write_atomically(path, text)
                self.written[path] = text

    def _remember(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep these verdicts for the next `status`; those of other hosts stay, also what another run writes at this moment."""
        if not entries:
            return
        path = self._directory() / report.VERDICTS
        with locked(path.parent):
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
            known, trouble = report.verdicts_of(text)
            if trouble:
                self._display.warning(f"{os.path.relpath(path)} is written anew: {trouble}; what it told of other hosts is lost")
            write_atomically(path, self._text({**known, **entries}))

    def _show(self) -> None:
        if self.report is None or not (files := self._files()):
            return
        shown = ", ".join(os.path.relpath(path) for path in files)
        self._display.display("\n".join(["", *self._redacted(self.report.closing()), "", f"Report: {shown}", ""]))
