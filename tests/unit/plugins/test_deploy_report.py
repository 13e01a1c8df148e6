"""The callback in real runs of ansible-playbook: each way a run can end leaves a report that is true."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.native  # test_report_everywhere.py has what depends on the surroundings
ROOT = Path(__file__).resolve().parents[3]
PLAYBOOK = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml"]
SECRET = "not-to-be-seen-in-any-report-0123"
CONFIG = f"""
[defaults]
callback_plugins = {ROOT}/callback_plugins
library = library
host_key_checking = False
retry_files_enabled = False
"""
HOSTS = f"""
agent_hosts:
  vars:
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
    livekit_api_secret: {SECRET}
    livekit_agent_name: "sidekick-{{{{ inventory_hostname }}}}"
  hosts:
    a: {{ansible_connection: local}}
    b: {{ansible_connection: local}}
    gone: {{ansible_host: 127.0.0.1, ansible_port: 1}}
"""
VERDICT_MODULE = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={
    "rows": {"type": "dict"}, "fails": {"type": "bool", "default": False}, \
"documents": {"type": "dict"}, "lines": {"type": "list"}})
result = {"report": module.params["rows"], "waits": [{"what": "registered", "seconds": 4.2}],
          "report_documents": module.params["documents"], "report_lines": module.params["lines"]}
module.fail_json(msg="not proven", **result) if module.params["fails"] else module.exit_json(**result)
"""
PING = "{name: Ping, ansible.builtin.ping: {}}"
Run = Callable[..., dict[str, Any]]


def write_project(folder: Path, tasks: list[str], hosts: str = "a:b") -> None:
    (folder / "library").mkdir(exist_ok=True)
    (folder / "library" / "verdict.py").write_text(VERDICT_MODULE)
    (folder / "ansible.cfg").write_text(CONFIG)
    (folder / "hosts.yml").write_text(HOSTS)
    lines = "".join(f"    - {task}\n" for task in tasks)
    (folder / "deploy.yml").write_text(f"- hosts: {hosts}\n  gather_facts: false\n  tasks:\n{lines}")


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "LIVEKIT_DEPLOY_REPORTS": str(folder / "out"), "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}


def read(folder: Path, name: str = "deploy") -> dict[str, Any]:
    return dict(json.loads((folder / "out" / f"{name}.json").read_text()))


def play(folder: Path, playbook: str = "deploy.yml", *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PLAYBOOK, playbook, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a play of these tasks; its report, with `output` and `code` added."""

    def start(*tasks: str, hosts: str = "a:b", arguments: tuple[str, ...] = ()) -> dict[str, Any]:
        write_project(tmp_path, list(tasks), hosts)
        done = play(tmp_path, "deploy.yml", *arguments)
        return {**read(tmp_path), "output": done.stdout, "errors": done.stderr, "code": done.returncode}

    return start


def rows(**verdicts: str) -> str:
    return json.dumps({host: {"verdict": verdict, "agent_name": f"from-{host}"} for host, verdict in verdicts.items()})


def test_a_run_that_proves_all_hosts_is_ok(run: Run, tmp_path: Path) -> None:
    done = run(f"{{verdict: {{rows: {rows(a='exclusive', b='exclusive')}}}, run_once: true, delegate_to: localhost}}")
    assert (done["ok"], done["code"], done["playbook"]) == (True, 0, "deploy")
    assert done["waits"] == [{"what": "registered", "seconds": 4.2}]
    assert [row["agent_name"] for row in done["hosts"].values()] == ["from-a", "from-b"]
    assert read(tmp_path, "verify") == {**read(tmp_path), "playbook": "verify"}


def test_a_report_is_taken_from_a_module_that_fails(run: Run) -> None:
    done = run(f"{{verdict: {{rows: {rows(a='exclusive', b='unreachable')}, fails: true}}, run_once: true}}")
    assert (done["ok"], done["hosts"]["b"]["verdict"]) == (False, "unreachable")


def test_a_run_that_verified_nothing_leaves_the_report_of_verify_alone(run: Run, tmp_path: Path) -> None:
    assert run(PING)["ok"] is True
    assert not (tmp_path / "out" / "verify.json").exists()


def test_all_hosts_unreachable_leaves_a_row_for_each(run: Run) -> None:
    done = run(PING, hosts="gone")
    assert (done["ok"], done["code"]) == (False, 4)
    row = done["hosts"]["gone"]
    assert (row["agent_name"], row["verdict"]) == ("sidekick-gone", "unreachable")
    assert row["reason"].startswith("host unreachable over SSH: ")
    assert "Connection refused" in row["reason"]


def test_a_failed_host_is_told_apart_from_the_others(run: Run) -> None:
    done = run("{name: Pull, ansible.builtin.command: 'false', when: inventory_hostname == 'b'}")
    assert [done["hosts"][host]["reason"] for host in "ab"] == [
        None,
        "Pull: The command exited with a non-zero return code.",
    ]


def test_a_task_that_fails_once_is_the_reason_of_all_hosts(run: Run) -> None:
    done = run("{name: Refuse, ansible.builtin.fail: {msg: [one, two]}, run_once: true}")
    assert [row["reason"] for row in done["hosts"].values()] == ["one\ntwo", "one\ntwo"]


def test_a_rescued_host_that_is_failed_at_last_has_the_final_message(run: Run) -> None:
    done = run("{block: [{ansible.builtin.command: 'false'}], rescue: [{ansible.builtin.fail: {msg: The old serves}}]}")
    assert done["hosts"]["a"]["reason"] == "The old serves"


def test_a_rescued_and_an_ignored_failure_do_not_count(run: Run) -> None:
    failing = "{ansible.builtin.command: 'false'"
    done = run(f"{{block: [{failing}}}], rescue: [{PING}]}}", f"{failing}, ignore_errors: true}}")
    assert (done["ok"], done["hosts"]["a"]["reason"]) == (True, None)


def test_an_ignored_failure_is_no_part_of_a_later_reason(run: Run) -> None:
    done = run(
        "{ansible.builtin.command: 'false', ignore_errors: true}", "{name: Pull, ansible.builtin.command: 'false'}"
    )
    assert done["hosts"]["a"]["reason"].count("\n") == 0


def test_a_rescued_task_that_ran_once_drops_the_other_hosts_and_is_not_ok(run: Run) -> None:
    done = run(f"{{block: [{{ansible.builtin.command: 'false', run_once: true}}], rescue: [{PING}]}}")
    assert done["ok"] is False
    assert done["hosts"]["b"]["reason"]


def test_only_hosts_within_the_limit_have_a_row(run: Run) -> None:
    assert list(run(PING, arguments=("--limit", "b"))["hosts"]) == ["b"]


def test_hosts_of_a_play_that_never_began_have_a_row(tmp_path: Path) -> None:
    first = "- hosts: localhost\n  tasks: [{ansible.builtin.fail: {msg: Nothing is configured}}]\n"
    write_project(tmp_path, [PING])
    (tmp_path / "both.yml").write_text(first + (tmp_path / "deploy.yml").read_text())
    play(tmp_path, "both.yml")
    hosts = read(tmp_path, "both")["hosts"]
    assert {row["reason"] for row in hosts.values()} == {
        "stopped before the end because of localhost: Nothing is configured"
    }


def test_a_playbook_that_has_nothing_to_do_with_the_group_writes_nothing(tmp_path: Path) -> None:
    write_project(tmp_path, [PING], hosts="localhost")
    assert play(tmp_path).returncode == 0
    assert not (tmp_path / "out").exists()


def test_a_secret_in_a_message_does_not_reach_the_report(run: Run, tmp_path: Path) -> None:
    done = run("{ansible.builtin.fail: {msg: 'with {{ livekit_api_secret }}'}}")
    assert done["hosts"]["a"]["reason"] == "with ********"
    assert SECRET not in (tmp_path / "out" / "deploy.json").read_text()


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
PRINTED = {
    "the worker's": "sk-of the worker 01",
    "the API's": "pw7-",
    "the registry's": "token-of-the-registry",
    "one in a vault": "only-in-the-vault-23",
    "in an address": "db-password",
    "a token": JWT,
}


def test_what_an_application_prints_when_it_fails_reaches_no_report_and_no_line(tmp_path: Path) -> None:
    said = " ".join([*PRINTED.values()][:4]) + f" postgres://app:{PRINTED['in an address']}@db/x {JWT}"
    rows = {
        "a": {
            "verdict": "foreign",
            "reason": said,
            "checks": [{"name": "x", "ok": False, "found": said, "remedy": said}],
        }
    }
    failing = f"{{ansible.builtin.fail: {{msg: '{said}'}}}}"
    write_project(tmp_path, [writing(rows=rows, documents={"deploy.md": said}, lines=[said]), failing])
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "a.yml").write_text(
        "livekit_agent_secret_env: {OPENAI_API_KEY: sk-of the worker 01}\nagent_api_secret_env: {DB: pw7-}\n"
        "agent_release_registries: [{address: r, username: u, password: token-of-the-registry}]\n"
    )
    (tmp_path / "host_vars" / "b.yml").write_text("words: {any: only-in-the-vault-23}\n")
    (tmp_path / "key").write_text("key")
    vault = [
        PLAYBOOK[0].replace("ansible-playbook", "ansible-vault"),
        "encrypt",
        "--vault-password-file",
        "key",
        "host_vars/b.yml",
    ]
    subprocess.run(vault, cwd=tmp_path, env=environment(tmp_path), check=True, capture_output=True, timeout=60)
    done = play(tmp_path, "deploy.yml", "--vault-password-file", "key")
    texts = [done.stdout.split("PLAY RECAP")[1], *(path.read_text() for path in (tmp_path / "out").iterdir())]
    assert len(texts) == 5, "the table, deploy.json, verify.json, deploy.md and verdicts.json are looked at"
    assert {name for name, secret in PRINTED.items() for text in texts if secret in " ".join(text.split())} == set()
    assert all("********" in text for text in texts[:1])


def test_only_the_user_can_read_the_report_and_nothing_else_is_left(run: Run, tmp_path: Path) -> None:
    run(PING)
    (path,) = (tmp_path / "out").iterdir()
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o600, 0o700]


def test_the_table_comes_last(run: Run) -> None:
    output = run(f"{{verdict: {{rows: {rows(a='exclusive', b='unreachable')}}}, run_once: true}}")["output"]
    assert "agent name" in output.split("PLAY RECAP")[1]
    assert output.rstrip().endswith("Report: out/deploy.json, out/verify.json")


def interrupt(
    folder: Path, number: signal.Signals, *before: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Send the signal while a task waits on both hosts."""
    write_project(folder, [*before, "{name: Wait, ansible.builtin.command: 'sh -c \"touch begun-$PPID; sleep 5\"'}"])
    with subprocess.Popen(
        [*PLAYBOOK, "deploy.yml"], cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 30
        while not list(folder.glob("begun-*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
    return subprocess.CompletedProcess([], process.returncode, output), read(folder)


def test_a_run_stopped_with_ctrl_c_says_so_in_report_and_table(tmp_path: Path) -> None:
    process, document = interrupt(tmp_path, signal.SIGINT)
    assert process.returncode == 99
    assert (document["ok"], bool(document["finished"])) == (False, True)
    assert document["hosts"]["a"]["reason"] == "the run was interrupted by SIGINT; last task: Wait"
    assert "a, b: failed" in process.stdout


def test_a_run_stopped_with_sigterm_says_so(tmp_path: Path) -> None:
    process, document = interrupt(tmp_path, signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM
    assert (document["ok"], bool(document["finished"])) == (False, True)
    assert document["hosts"]["b"]["reason"] == "the run was interrupted by SIGTERM; last task: Wait"


def test_a_killed_run_leaves_a_report_that_says_it_has_not_finished(tmp_path: Path) -> None:
    _process, document = interrupt(tmp_path, signal.SIGKILL)
    assert (document["ok"], document["finished"]) == (False, None)
    assert document["hosts"]["a"]["reason"] == "the run has not finished; last task: Wait"


def test_a_run_that_breaks_off_with_an_error_says_that_it_ended_early(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.yml").write_text("- no_such_module_at_all: {}\n  bad: [\n")
    done = run(PING, "{ansible.builtin.include_tasks: broken.yml}")
    assert (done["ok"], done["code"] != 0) == (False, True)
    assert all(row["reason"] for row in done["hosts"].values())


# --- documents and lines that modules make ---------------------------------------------------------------------------


def writing(**parameters: Any) -> str:
    return f"{{verdict: {json.dumps(parameters)}, run_once: true, delegate_to: localhost}}"


def test_documents_are_written_and_lines_come_instead_of_the_table(run: Run, tmp_path: Path) -> None:
    done = run(
        writing(
            documents={"deploy.json": {"causes": ["draining"]}, "deploy.md": "# Draining\n"}, lines=["Cause: draining"]
        )
    )
    assert (done["ok"], done["causes"], list(done["hosts"])) == (True, ["draining"], ["a", "b"])
    assert (tmp_path / "out" / "deploy.md").read_text() == "# Draining\n"
    after = done["output"].split("PLAY RECAP")[1]
    assert "Cause: draining\n\nReport: out/deploy.json, out/deploy.md" in after
    assert "agent name" not in after


def test_a_secret_in_documents_and_lines_is_taken_out_also_of_a_host_outside_the_limit(
    run: Run, tmp_path: Path
) -> None:
    other = "other-secret-of-a-host-outside-0123"
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "b.yml").write_text(f"livekit_api_secret: {other}\n")
    said = f"{SECRET} and {other}"
    task = writing(documents={"deploy.json": {"x": [said]}, "deploy.md": said}, lines=[said])
    output = run(task, arguments=("--limit", "a"))["output"].split("PLAY RECAP")[1]
    texts = [output, *(path.read_text() for path in (tmp_path / "out").iterdir())]
    assert [text for text in texts if SECRET in text or other in text] == []
    assert all("******** and ********" in text for text in texts)


def test_documents_stay_when_the_run_fails_later_and_nothing_is_called_well(run: Run, tmp_path: Path) -> None:
    done = run(
        writing(documents={"deploy.json": {"ok": True}, "deploy.md": "x"}, lines=["fine"]),
        "{ansible.builtin.command: 'false'}",
    )
    assert (done["ok"], (tmp_path / "out" / "deploy.md").read_text()) == (False, "x")
    assert "agent name" in done["output"].split("PLAY RECAP")[1].split("fine")[1]


def test_documents_stay_when_the_run_is_interrupted_later(tmp_path: Path) -> None:
    before = writing(documents={"deploy.json": {"causes": ["draining"]}, "deploy.md": "x"}, lines=["fine"])
    process, document = interrupt(tmp_path, signal.SIGINT, before)
    assert (document["causes"], document["ok"], (tmp_path / "out" / "deploy.md").read_text()) == (
        ["draining"],
        False,
        "x",
    )
    assert "fine" not in process.stdout


def test_a_document_outside_the_directory_is_not_written(run: Run, tmp_path: Path) -> None:
    run(writing(documents={"../evil.json": {}}))
    assert not (tmp_path / "evil.json").exists()


# --- verdicts that are remembered ------------------------------------------------------------------------------------


def test_the_verdict_of_each_host_is_remembered_until_its_next(run: Run, tmp_path: Path) -> None:
    run(f"{{verdict: {{rows: {rows(a='exclusive', b='exclusive')}}}, run_once: true}}")
    run(f"{{verdict: {{rows: {rows(b='foreign')}}}, run_once: true}}")
    known = read(tmp_path, "verdicts")
    assert {host: entry["verdict"] for host, entry in known.items()} == {"a": "exclusive", "b": "foreign"}
    assert known["b"]["playbook"] == "deploy"


def test_a_broken_file_of_verdicts_is_replaced_and_it_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "verdicts.json").write_text('{"a": {"ver')
    errors = run(f"{{verdict: {{rows: {rows(b='foreign')}}}, run_once: true}}")["errors"]
    assert list(read(tmp_path, "verdicts")) == ["b"]
    assert "verdicts.json is written anew" in " ".join(errors.split())


def test_a_run_that_proved_nothing_leaves_the_verdicts_alone(run: Run, tmp_path: Path) -> None:
    run(PING)
    assert not (tmp_path / "out" / "verdicts.json").exists()
