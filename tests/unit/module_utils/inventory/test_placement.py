# SPDX-License-Identifier: Apache-2.0
"""Applications beside each other on a host: each refusal with the twin that is allowed beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.livekit_deploy.inventory.placement import DEFAULTS, placement_problems

ROLES = Path(__file__).resolve().parents[4] / "roles"
TLS = {"api_proxy_certificate": "/a.pem", "api_proxy_certificate_key": "/a.key"}


def entry(app: str, **changes: Any) -> dict[str, Any]:
    return {"ansible_host": "10.0.0.11", "agent_release_app": app, "agent_api_image": "api@sha256:1", **changes}


def beside(app: str = "two", **changes: Any) -> dict[str, Any]:
    """An application that may be beside ``entry("one")``."""
    return entry(app, **{"agent_api_ports": [18103, 18104], "api_proxy_server_name": "two.test", **changes})


def problems(**hosts: Mapping[str, Any]) -> list[str]:
    return placement_problems(hosts, hosts)


def test_two_applications_may_be_on_one_host() -> None:
    assert problems(a=entry("one"), b=beside()) == []


CLASHES = [
    # b refused beside entry("one", **a), words, b allowed there
    pytest.param({}, {"app": "one"}, "both deploy the application 'one'", {"app": "two"}, id="one application"),
    pytest.param(
        {}, {"agent_api_ports": [18102, 18103]}, "both have 18102,", {"agent_api_ports": [18103, 18104]}, id="a port"
    ),
    pytest.param(
        {},
        {"agent_api_ports": ["18101", 18103]},
        "both have 18101,",
        {"agent_api_ports": ["18103", "18104"]},
        id="as text",
    ),
    pytest.param(
        {},
        {"api_proxy_server_name": "10.0.0.11"},
        "both have a site for '10.0.0.11' on port 80",
        {"api_proxy_server_name": "10.0.0.11", "api_proxy_listen_port": 8080},
        id="the name that is none",
    ),
    pytest.param(
        {"api_proxy_server_name": "x.test A.test"},
        {"api_proxy_server_name": "a.test"},
        "both have a site for 'a.test' on port 80",
        {"api_proxy_server_name": "b.test"},
        id="one of several names",
    ),
    pytest.param(
        {**TLS, "api_proxy_server_name": "a.test"},
        {**TLS, "api_proxy_server_name": "a.test", "api_proxy_listen_port": 8080},
        "both have a site for 'a.test' on port 443",
        {**TLS, "api_proxy_server_name": "a.test", "api_proxy_listen_port": 8080, "api_proxy_https_port": 8443},
        id="https",
    ),
]


@pytest.mark.parametrize(("a", "refused", "words", "allowed"), CLASHES)
def test_a_clash_on_one_host(a: dict[str, Any], refused: dict[str, Any], words: str, allowed: dict[str, Any]) -> None:
    (found,) = problems(a=entry("one", **a), b=beside(**refused))
    assert found.startswith("a and b are one host (10.0.0.11)")
    assert words in found
    assert problems(a=entry("one", **a), b=beside(**allowed)) == []


@pytest.mark.parametrize("other", [{"ansible_host": "10.0.0.12"}, {"ansible_port": 2222}])
def test_another_host_may_have_all_of_it_too(other: dict[str, Any]) -> None:
    assert problems(a=entry("one"), b=entry("one", **other)) == []


@pytest.mark.parametrize(("one", "other"), [("H.test.", "h.test"), ("::1", "[0:0:0:0:0:0:0:1]")])
def test_one_host_may_be_written_in_two_ways(one: str, other: str) -> None:
    assert len(problems(a=entry("one", ansible_host=one), b=entry("one", ansible_host=other, ansible_port=22))) == 1


def test_a_host_without_an_address_is_its_name() -> None:
    named = {name: value for name, value in entry("one").items() if name != "ansible_host"}
    assert problems(**{"h.test": named, "b": entry("one", ansible_host="h.test")})
    assert problems(**{"h.test": named, "i.test": named}) == []


@pytest.mark.parametrize(
    "has_none", [{"agent_api_image": ""}, {"api_proxy_manage": False, "agent_api_ports": [18103, 18104]}]
)
def test_an_entry_without_a_site_of_ours_is_in_nobodys_way(has_none: dict[str, Any]) -> None:
    assert problems(a=entry("one"), b=entry("two", **has_none)) == []


def test_a_worker_only_is_still_one_application() -> None:
    assert len(problems(a=entry("one"), b=entry("one", agent_api_image=""))) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"api_proxy_certificate": "/a.pem"}, "a: api_proxy_certificate is set and api_proxy_certificate_key is not"),
        (
            {"api_proxy_certificate_key": "/a.key"},
            "a: api_proxy_certificate_key is set and api_proxy_certificate is not",
        ),
        ({**TLS, "api_proxy_https_port": 80}, "a: api_proxy_listen_port and api_proxy_https_port are both 80"),
    ],
)
def test_a_site_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    (found,) = problems(a=entry("one", **changes))
    assert words in found
    assert problems(a=entry("one", **changes, agent_api_image="")) == []
    assert problems(a=entry("one", **changes, api_proxy_manage=False)) == []


def test_one_port_without_a_certificate_is_no_matter() -> None:
    assert problems(a=entry("one", api_proxy_https_port=80)) == []


class Failing(Mapping[str, Any]):
    """A host's variables of which one fails when it is read."""

    def __init__(self, variable: str) -> None:
        self.variables, self.failing = entry("one"), variable

    def __getitem__(self, key: str) -> Any:
        if key == self.failing:
            raise ValueError(key)
        return self.variables[key]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.variables, self.failing])

    def __len__(self) -> int:
        return len(self.variables)


@pytest.mark.parametrize(
    "variable", ["agent_api_ports", "api_proxy_server_name", "api_proxy_listen_port", "agent_release_app"]
)
def test_a_value_that_cannot_be_read_is_compared_with_nothing(variable: str) -> None:
    assert problems(a=Failing(variable), b=beside("three")) == []


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_defaults_are_those_of_the_roles(name: str) -> None:
    role = "agent_release" if name.startswith("agent_api_") else "api_proxy"
    assert yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())[name] == DEFAULTS[name]
