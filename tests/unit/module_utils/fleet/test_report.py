"""What a report says at each moment of a run, and how the table shows it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.fleet.remembered import remembered_verdicts, row_is_good, verdict_entries
from ansible.module_utils.livekit_deploy.fleet.report import Report
from ansible.module_utils.livekit_deploy.fleet.report_text import (
    failure_message,
    idle_reason,
    part_reason,
    report_table,
)
from ansible.module_utils.livekit_deploy.fleet.secrets import host_secrets, report_masker

GOOD_ROW: Any = {
    "agent_name": "sidekick-a",
    "release": "20261122T192505Z-1a2b3c4d",
    "worker_ids": ["AW_a"],
    "verdict": "exclusive",
    "reason": None,
    "probe": {"job_id": "AJ_1", "worker_id": "AW_a", "latency_seconds": 0.2134},
    "checks": [{"name": "registered", "ok": True, "found": "AW_a", "expected": "AW_a", "remedy": ""}],
    "routing": {"method": "reject-through probe", "seconds": 10.0, "not_seen": ["full"], "foreign": []},
    "on_purpose": None,
}
BAD_CHECK = {"name": "registered", "ok": False, "found": "nothing", "expected": "a worker id", "remedy": "look there"}
BAD_ROW: Any = {**GOOD_ROW, "verdict": "unreachable", "reason": "nobody answered", "checks": [BAD_CHECK]}


@pytest.fixture
def run() -> Report:
    report = Report("deploy", "2026-11-22T19:25:05Z")
    report.expect("a", "sidekick-a")
    report.expect("b", None)
    return report


def end(report: Report, failed: tuple[str, ...] = (), dropped: tuple[str, ...] = ()) -> Any:
    report.end("2026-11-22T19:26:00Z", failed, dropped)
    return report.document()


def test_the_first_version_has_a_row_for_each_host_and_is_not_ok(run: Report) -> None:
    run.step = "Gather facts"
    document = run.document()
    assert (document["finished"], document["ok"]) == (None, False)
    assert document["hosts"]["a"] == {
        "agent_name": "sidekick-a",
        "release": None,
        "worker_ids": [],
        "verdict": None,
        "reason": "the run has not finished; last task: Gather facts",
        "probe": {"job_id": None, "worker_id": None, "latency_seconds": None},
        "checks": [],
        "routing": None,
        "on_purpose": None,
    }


def test_a_run_with_good_rows_that_reached_its_end_is_ok(run: Report) -> None:
    run.add_rows({"a": GOOD_ROW, "b": GOOD_ROW})
    assert run.document()["ok"] is False
    document = end(run)
    assert document["ok"] is True
    assert document["hosts"]["a"] == GOOD_ROW


def test_a_playbook_that_proves_nothing_is_ok_when_nothing_failed(run: Report) -> None:
    assert end(run)["ok"] is True


def test_a_run_without_hosts_is_not_ok() -> None:
    assert end(Report("deploy", "now"))["ok"] is False


@pytest.mark.parametrize(
    ("row", "good"),
    [
        (GOOD_ROW, True),
        ({**GOOD_ROW, "verdict": None}, True),
        (BAD_ROW, False),
        ({**GOOD_ROW, "verdict": "never-heard-of"}, False),
        ({**GOOD_ROW, "checks": [BAD_CHECK]}, False),
    ],
)
def test_one_row_that_is_not_good_makes_the_run_not_ok(run: Report, row: Any, good: bool) -> None:
    run.add_rows({"a": GOOD_ROW, "b": row})
    assert row_is_good(row) is good
    assert end(run)["ok"] is good


def test_a_failed_host_has_the_message_as_reason(run: Report) -> None:
    run.fail(["b"], "Pull: no such image", final=False)
    document = end(run, failed=("b",))
    assert document["ok"] is False
    assert [document["hosts"][name]["reason"] for name in "ab"] == [None, "Pull: no such image"]


def test_a_rescued_failure_is_forgotten(run: Report) -> None:
    run.fail(["b"], "Pull: no such image", final=False)
    assert end(run)["hosts"]["b"]["reason"] is None


def test_the_message_after_a_rescue_replaces_what_was_rescued(run: Report) -> None:
    run.fail(["b"], "Pull: no such image", final=False)
    run.fail(["b"], "The image does not exist; the old release still serves.", final=True)
    assert end(run, failed=("b",))["hosts"]["b"]["reason"] == "The image does not exist; the old release still serves."


def test_a_failing_clean_up_does_not_hide_the_first_failure(run: Report) -> None:
    run.fail(["b"], "Pull: no such image", final=False)
    run.fail(["b"], "Abandon: disk full", final=False)
    assert end(run, failed=("b",))["hosts"]["b"]["reason"] == "Pull: no such image\nthen: Abandon: disk full"


def test_a_host_dropped_with_a_failed_one_says_so(run: Report) -> None:
    run.fail(["a"], "Pull: no such image", final=False)
    reason = end(run, failed=("a",), dropped=("a", "b"))["hosts"]["b"]["reason"]
    assert reason == "stopped before the end because of a: Pull: no such image"


def test_a_host_dropped_by_a_rescued_task_that_ran_once_is_not_ok(run: Report) -> None:
    run.fail(["a", "b"], "Ask: no answer", final=False)
    document = end(run, dropped=("b",))
    assert document["ok"] is False
    assert [document["hosts"][name]["reason"] for name in "ab"] == [None, "Ask: no answer"]


def test_a_failure_outside_the_group_makes_the_run_not_ok(run: Report) -> None:
    run.fail(["localhost"], "Nothing is configured.", final=True)
    document = end(run, failed=("localhost",), dropped=("a", "b"))
    assert document["ok"] is False
    assert document["hosts"]["a"]["reason"] == "stopped before the end because of localhost: Nothing is configured."


def test_a_failure_outside_the_group_counts_also_when_all_hosts_went_on(run: Report) -> None:
    run.fail(["localhost"], "Clean up: disk full", final=False)
    assert end(run, failed=("localhost",))["ok"] is False


def test_a_rescued_failure_outside_the_group_does_not_count(run: Report) -> None:
    run.fail(["localhost"], "try again", final=False)
    assert end(run)["ok"] is True


def test_a_host_out_of_reach_is_unreachable_and_says_over_what(run: Report) -> None:
    run.lose("b", "Task failed: Failed to connect to the host via ssh: Connection refused")
    row = end(run, failed=("b",))["hosts"]["b"]
    assert row["verdict"] == "unreachable"
    assert row["reason"].startswith(
        "host unreachable over SSH: found: nothing listens at its address and port (Connection refused), expected"
    )


def test_what_was_proven_stays_when_the_host_fails_later(run: Report) -> None:
    run.add_rows({"a": GOOD_ROW})
    run.fail(["a"], "Retire: disk full", final=False)
    row = end(run, failed=("a",))["hosts"]["a"]
    assert (row["verdict"], row["reason"]) == ("exclusive", "Retire: disk full")


def test_an_interrupted_run_says_by_what_and_where(run: Report) -> None:
    run.step = "Wait"
    run.interrupt("2026-11-22T19:26:00Z", "the run was interrupted by SIGINT")
    document = run.document()
    assert (document["finished"], document["ok"]) == ("2026-11-22T19:26:00Z", False)
    assert document["hosts"]["a"]["reason"] == "the run was interrupted by SIGINT; last task: Wait"


def test_the_end_is_the_end_a_later_signal_changes_nothing(run: Report) -> None:
    before = end(run)
    run.interrupt("later", "the run was interrupted by SIGINT")
    assert run.document() == before


def test_waits_are_kept_in_order(run: Report) -> None:
    run.add_waits([{"what": "registered", "seconds": 4.2, "host": "a"}, "not a wait"])
    run.add_waits([{"what": "drained", "seconds": 2}])
    assert run.document()["waits"] == [{"what": "registered", "seconds": 4.2}, {"what": "drained", "seconds": 2}]


def test_the_same_document_serves_as_the_one_of_verify(run: Report) -> None:
    run.add_rows({"a": GOOD_ROW, "b": GOOD_ROW})
    end(run)
    assert run.document("verify") == {**run.document(), "playbook": "verify"}


MESSAGES = [
    ({"msg": "no"}, False, "Pull: no"),
    ({"msg": "no"}, True, "no"),
    ({"msg": ["one", "two"]}, True, "one\ntwo"),
    (
        {"msg": "One or more items failed", "results": [{"msg": "ok"}, {"failed": True, "msg": "this"}]},
        False,
        "Pull: this",
    ),
    ({"stderr": "line\n"}, False, "Pull: line"),
    ({"censored": "the output has been hidden"}, False, "Pull: the output has been hidden"),
    ({}, False, "Pull: failed without a message"),
]


@pytest.mark.parametrize(("result", "sums_up", "expected"), MESSAGES)
def test_what_a_failed_task_says(result: dict[str, Any], sums_up: bool, expected: str) -> None:
    assert failure_message(result, "Pull", sums_up) == expected


def test_a_secret_is_taken_out_wherever_it_is() -> None:
    document = {"a": ["x s3cr3t-s3cr3t y", 1, None], "b": {"c": "s3cr3t-s3cr3t"}}
    assert report_masker(["s3cr3t-s3cr3t", ""]).all(document) == {
        "a": ["x ******** y", 1, None],
        "b": {"c": "********"},
    }


@pytest.mark.parametrize(
    ("variables", "vaulted", "secrets"),
    [
        pytest.param(
            {"livekit_api_secret": "abcd", "ansible_become_pass": "abc"}, {}, {"abcd"}, id="from four characters on"
        ),
        pytest.param(
            {"livekit_agent_secret_env": {"X": "sk-1234", "ON": "true", "PORT": 8080}},
            {},
            {"sk-1234"},
            id="words and numbers",
        ),
        pytest.param({"agent_api_secret_env": {"PIN": "12345678"}}, {}, {"12345678"}, id="a long number"),
        pytest.param(
            {"agent_api_env": {"API_KEY": "k-1234", "MODEL": "a-model-name"}},
            {},
            {"k-1234"},
            id="ordinary variables by name",
        ),
        pytest.param(
            {"agent_release_registries": [{"username": "robot-of-ci", "password": "pw-1"}]},
            {},
            {"pw-1"},
            id="registries",
        ),
        pytest.param(
            {},
            {".vault_x": "seven77", ".vault_y": "eight888", ".vault_token": "t-12"},
            {"eight888", "t-12"},
            id="vault",
        ),
        pytest.param(
            {"livekit_agent_name": "agent-of-a"}, {".vault_name": "agent-of-a"}, set(), id="what the report is about"
        ),
        pytest.param(
            {"livekit_agent_secret_env": "no mapping", "agent_release_registries": ["x"]}, {}, set(), id="wrong types"
        ),
    ],
)
def test_values_that_no_report_shows(variables: dict[str, Any], vaulted: dict[str, str], secrets: set[str]) -> None:
    assert host_secrets(variables, vaulted) == secrets


def test_the_table_has_a_line_for_each_host_and_explains_what_failed(run: Report) -> None:
    run.add_rows({"a": GOOD_ROW, "b": BAD_ROW})
    assert report_table(end(run)) == [
        "host  agent name  release                    worker id  latency  verdict",
        "----  ----------  -------------------------  ---------  -------  -----------",
        "a     sidekick-a  20261122T192505Z-1a2b3c4d  AW_a       0.21 s   exclusive",
        "b     sidekick-a  20261122T192505Z-1a2b3c4d  AW_a       0.21 s   unreachable",
        "",
        "b: unreachable",
        "  reason    nobody answered",
        "  check registered failed",
        "    found     nothing",
        "    expected  a worker id",
        "    to do     look there",
    ]


def test_the_table_tells_once_what_is_the_same_for_all(run: Report) -> None:
    run.fail(["a", "b"], "The key was refused.", final=True)
    assert report_table(end(run, failed=("a", "b")))[-2:] == ["a, b: failed", "  reason    The key was refused."]


def test_long_texts_are_wrapped_beside_their_label(run: Report) -> None:
    run.fail(["b"], "word " * 60, final=True)
    lines = report_table(end(run, failed=("b",)))
    assert max(map(len, lines)) <= 100
    assert lines[-1].startswith(" " * 12 + "word")


def test_a_table_without_hosts_says_that_nothing_was_proven() -> None:
    assert "nothing was proven" in report_table(end(Report("deploy", "now")))[0]


# --- documents and lines that modules make ---------------------------------------------------------------------------


def test_documents_of_a_module_are_written_beside_the_runs_own(run: Report) -> None:
    assert run.add_documents({"more.json": {"a": 1}, "more.md": "# text"}) == []
    assert list(run.files()) == ["deploy.json", "more.json", "more.md"]
    assert run.files()["more.json"] == {"a": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("../evil.json", {}),
        ("/etc/evil.json", {}),
        ("deploy.sh", "text"),
        (".hidden.json", {}),
        ("verdicts.json", {}),
        ("deploy.json", "text"),
        ("deploy.md", {"a": 1}),
    ],
)
def test_a_document_with_a_wrong_name_or_content_is_refused(run: Report, name: str, content: Any) -> None:
    (problem,) = run.add_documents({name: content})
    assert "expected" in problem
    assert run.documents == {}


def test_a_document_of_the_runs_own_name_comes_over_it_but_not_over_when_it_ran(run: Report) -> None:
    run.add_documents(
        {
            "deploy.json": {
                "causes": ["x"],
                "hosts": {"a": {}},
                "playbook": "other",
                "started": "never",
                "finished": "now",
            }
        }
    )
    end(run)
    own = run.files()["deploy.json"]
    assert own == {**run.document(), "causes": ["x"], "hosts": {"a": {}}}


def test_a_document_says_that_all_is_well_only_when_the_run_went_well(run: Report) -> None:
    run.add_documents({"deploy.json": {"ok": True}})
    assert run.own_document()["ok"] is False
    run.add_rows({"a": BAD_ROW})
    end(run)
    assert run.own_document()["ok"] is True
    run.fail(["a"], "no", final=True)
    assert run.own_document()["ok"] is False


def test_lines_of_a_module_come_instead_of_the_table_of_a_complete_run(run: Report) -> None:
    run.lines = ["nothing wrong"]
    assert run.closing()[0].startswith("host ")
    end(run)
    assert run.closing() == ["nothing wrong"]


def test_a_host_that_failed_is_told_beside_the_lines_of_a_module(run: Report) -> None:
    run.lines = ["nothing wrong"]
    run.fail(["b"], "disk full", final=True)
    end(run, failed=("b",))
    assert [run.closing()[0], run.closing()[-1]] == ["nothing wrong", "  reason    disk full"]


# --- verdicts that are remembered ------------------------------------------------------------------------------------


def test_a_verdict_is_remembered_with_what_it_is_about() -> None:
    assert verdict_entries(
        {"a": {**GOOD_ROW, "routing": {"method": "sampling", "reason": "a's alone"}}}, "now", "verify"
    ) == {
        "a": {
            "verdict": "exclusive",
            "ok": True,
            "reason": "a's alone",
            "method": "sampling",
            "at": "now",
            "playbook": "verify",
            "agent_name": "sidekick-a",
            "release": "20261122T192505Z-1a2b3c4d",
        }
    }


def test_a_good_verdict_of_a_host_that_failed_a_check_is_remembered_with_the_check() -> None:
    row: Any = {**GOOD_ROW, "checks": [BAD_CHECK], "reason": "registered: nothing", "routing": {"reason": "a's alone"}}
    entry = verdict_entries({"a": row}, "now", "verify")["a"]
    assert (entry["verdict"], entry["ok"], entry["reason"]) == ("exclusive", False, "registered: nothing")


@pytest.mark.parametrize("row", [None, {}, {"verdict": None}])
def test_a_host_without_a_verdict_is_not_remembered(row: Any) -> None:
    assert verdict_entries({"a": row}, "now", "deploy") == {}


@pytest.mark.parametrize(
    ("text", "known", "trouble"),
    [
        (None, {}, ""),
        (json.dumps({"a": {"verdict": "foreign"}}), {"a": {"verdict": "foreign"}}, ""),
        ('{"a": {"verd', {}, "it is no JSON"),
        ("[1]", {}, "found list"),
        ('{"a": 1, "b": {}}', {"b": {}}, "no entry can be read for a"),
    ],
)
def test_remembered_verdicts_are_read_as_far_as_they_can_be(text: str | None, known: Any, trouble: str) -> None:
    found = remembered_verdicts(text)
    assert (found[0], found[1].startswith(trouble), bool(found[1])) == (known, True, bool(trouble))


def test_a_wrong_sudo_password_is_explained(run: Report) -> None:
    run.fail(
        ["a"], failure_message({"msg": "Task failed: Incorrect sudo password"}, "Read", sums_up=False), final=False
    )
    reason = end(run, failed=("a",))["hosts"]["a"]["reason"]
    assert reason.startswith(
        "Read: found: sudo refuses the password of the login user, expected the right one. "
        "Correct ansible_become_password"
    )


def test_a_wrong_sudo_password_is_explained_also_as_the_reason_of_a_row(run: Report) -> None:
    run.add_rows({"a": {**BAD_ROW, "reason": "Task failed: Missing sudo password"}})
    assert end(run)["hosts"]["a"]["reason"].startswith("found: sudo wants a password and none is set, expected")


# --- a run that is not whole -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "options", "said"),
    [
        (0, {}, ""),
        (0, {"--limit": "a"}, ""),
        (0, {"--tags": "untagged"}, ""),
        (3, {"--tags": "x", "--limit": "a"}, "--tags x left out 3 tasks"),
        (1, {"--skip-tags": "y"}, "--skip-tags y left out 1 tasks"),
        (0, {"--start-at-task": "'Join it'"}, "it began at the task 'Join it'"),
    ],
)
def test_run_that_left_tasks_out_says_so(tasks: int, options: dict[str, str], said: str) -> None:
    assert (said in part_reason(tasks, options)) is True
    assert bool(part_reason(tasks, options)) is bool(said)


def test_run_that_is_not_whole_is_not_good_whatever_a_module_says(run: Report) -> None:
    run.add_rows({"a": GOOD_ROW, "b": GOOD_ROW})
    run.add_documents({"deploy.json": {"ok": True}})
    run.left_out = "not whole"
    end(run)
    assert (run.ok, run.own_document()["ok"], run.document()["notes"]) == (False, False, ["not whole"])
    assert run.closing()[-1] == "not whole"


def test_run_in_which_a_task_ran_is_not_idle(run: Report) -> None:
    run.note_work("a")
    end(run)
    run.end_idle("nothing ran")
    assert (run.idle, run.failed) == ("", False)


def test_run_in_which_only_another_host_did_something_is_idle(run: Report) -> None:
    run.note_work("localhost")
    end(run)
    run.end_idle("nothing ran")
    assert (run.ok, run.document()["hosts"]["a"]["reason"], run.document()["notes"]) == (
        False,
        "nothing ran",
        ["nothing ran"],
    )


def test_reason_that_nothing_ran_names_what_left_it_out() -> None:
    said = idle_reason("deploy", {"--tags": "x", "--limit": "a"})
    assert said.startswith("Nothing was done and nothing was proven: found no task of deploy that ran on an agent host")
    assert "--tags x --limit a leaves nothing of it" in said
