from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory import preview

ADDRESS = {"ansible_host": "192.0.2.1"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, "http://192.0.2.1:80/v1/preview", id="nothing said"),
        pytest.param({"api_proxy_listen_port": 81}, "http://192.0.2.1:81/v1/preview", id="another port"),
        pytest.param(
            {"api_proxy_certificate": "/etc/x.pem"}, "https://192.0.2.1:443/v1/preview", id="with a certificate"
        ),
        pytest.param(
            {
                "api_proxy_certificate": "/x",
                "api_proxy_https_port": 8443,
                "verification_preview": {"path": "/calls?test=1"},
            },
            "https://192.0.2.1:8443/calls?test=1",
            id="its port and a path",
        ),
        pytest.param(
            {"verification_preview": {"url": "https://api.example.com/x"}}, "https://api.example.com/x", id="whole"
        ),
        pytest.param({"ansible_host": "2001:db8::1"}, "http://[2001:db8::1]:80/v1/preview", id="IPv6"),
    ],
)
def test_request_goes_through_the_proxy_of_the_host(variables: dict[str, Any], expected: str) -> None:
    assert preview.of({**ADDRESS, **variables}, "a").request()["url"] == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("api.example.com www.example.com", "api.example.com"),
        ("192.0.2.1", ""),
        ("_", ""),
        ("*.example.com", ""),
        ("", ""),
    ],
)
def test_server_goes_by_the_name_of_its_site(name: str, expected: str) -> None:
    assert preview.of({**ADDRESS, "api_proxy_server_name": name}, "a").request()["server_name"] == expected


def test_whole_url_says_the_name_itself() -> None:
    variables = {
        "api_proxy_server_name": "api.example.com",
        "verification_preview": {"url": "https://other.example.com/x"},
    }
    assert preview.of(variables, "a").request()["server_name"] == ""


def test_request_says_where_the_answer_has_what_counts() -> None:
    said = {
        "method": "put",
        "room": "call.room",
        "dispatch": "call.id",
        "headers": {"X-Key": "k"},
        "body": {"lang": "de"},
    }
    found = preview.of({"verification_preview": said}, "a").request()
    assert (found["method"], found["room_key"], found["dispatch_key"], found["agent_name_key"]) == (
        "PUT",
        "call.room",
        "call.id",
        "agent_name",
    )
    assert (found["headers"], found["body"]) == ({"X-Key": "k"}, {"lang": "de"})


@pytest.mark.parametrize(
    ("body", "expected"),
    [(None, {}), ({"a": 1}, {"body": {"a": 1}, "body_format": "json"}), ("a=1", {"body": "a=1", "body_format": "raw"})],
)
def test_new_api_is_asked_the_same_in_its_slot(body: Any, expected: dict[str, Any]) -> None:
    found = preview.of(
        {"verification_preview": {"url": "https://x.example.com/calls?y=1", "body": body}}, "a"
    ).slot_request()
    assert found == {"path": "/calls?y=1", "method": "POST", "headers": {}, **expected}


def test_headers_are_in_no_text_of_it() -> None:
    assert "k-secret" not in str(preview.of({"verification_preview": {"headers": {"X-Key": "k-secret"}}}, "a"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [(True, True), (False, False), ("false", False), ("yes", True), ({}, True), ({"path": "/x"}, True)],
)
def test_preview_is_wanted_unless_it_is_off(said: Any, expected: bool) -> None:
    assert preview.wanted({"verification_preview": said}) is expected


def test_pattern_has_a_deadline() -> None:
    found = preview.patterns({"verification_log_patterns": ["tool call", {"pattern": "x", "deadline_seconds": 9}]})
    assert [(one.pattern, one.deadline_seconds) for one in found] == [("tool call", 5.0), ("x", 9)]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"verification_preview": {"methd": "GET"}}, "verification_preview has methd, expected some of"),
        ({"verification_preview": {"method": "DELETE"}}, "method is 'DELETE'"),
        ({"verification_preview": {"path": "x"}}, "begins with /"),
        ({"verification_preview": {"url": "ftp://x"}}, "no http:// or https:// URL"),
        ({"verification_preview": {"headers": ["a"]}}, "headers is no dict"),
        ({"verification_preview": "perhaps"}, "expected true, false or a dict"),
        ({"verification_preview": 7}, "expected true, false or a dict"),
        ({"verification_log_patterns": ["("]}, "expected a regular expression"),
        ({"verification_log_patterns": [{"pattern": "a", "deadline": 3}]}, "expected pattern and"),
        ({"verification_log_patterns": [{"pattern": "a", "deadline_seconds": 0}]}, "expected seconds"),
    ],
)
def test_request_that_cannot_be_made_is_refused(variables: dict[str, Any], words: str) -> None:
    (problem,) = preview.preview_problems({"a": variables}, ["a"])
    assert problem.startswith("a: ")
    assert words in problem


def test_inventory_that_says_nothing_has_no_problem() -> None:
    assert preview.preview_problems({"a": {}}, ["a"]) == []


OWN = {"api_proxy_server_name": "api.example.com"}
FROM_HOST = [
    ({}, "127.0.0.1", 80, {"Host": "192.0.2.1:80"}, {}),
    ({"ansible_host": "staging-alias", "api_proxy_listen_port": 81}, "127.0.0.1", 81, {"Host": "staging-alias:81"}, {}),
    (OWN, "127.0.0.1", 80, {"Host": "api.example.com"}, {}),
    (
        {**OWN, "api_proxy_certificate": "/x"},
        "127.0.0.1",
        443,
        {"Host": "api.example.com"},
        {"tls": True, "server_name": "api.example.com", "validate_certs": False},
    ),
    (
        {"verification_preview": {"url": "https://u:p@calls.example.com/x", "headers": {"X-Key": "k"}}},
        "calls.example.com",
        443,
        {"Host": "calls.example.com", "X-Key": "k"},
        {"tls": True, "server_name": "calls.example.com", "validate_certs": True},
    ),
]


@pytest.mark.parametrize(("variables", "host", "port", "headers", "tls"), FROM_HOST)
def test_host_asks_its_own_proxy_under_the_name_of_its_site(
    variables: dict[str, Any], host: str, port: int, headers: dict[str, str], tls: dict[str, Any]
) -> None:
    found = preview.of({**ADDRESS, **variables}, "a").host_request()
    asked = found["preview"]
    assert (found["host"], found["port"], asked["headers"]) == (host, port, headers)
    assert {key: asked[key] for key in ("tls", "server_name", "validate_certs") if key in asked} == tls
