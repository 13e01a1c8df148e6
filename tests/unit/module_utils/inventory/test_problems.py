"""Each refusal is a case of its own, with the twin that is allowed beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory import problems as every
from ansible.module_utils.livekit_deploy.inventory.addresses import (
    is_documentation,
    is_local,
    node_count,
    normalised_url,
)
from ansible.module_utils.livekit_deploy.inventory.pools import server_problems
from ansible.module_utils.livekit_deploy.inventory.problems import CommandLine, Project, inventory_problems

DIGEST = "sha256:" + "0123456789abcdef" * 4
SECRET = "k3yOfAtLeast32Bytes-Qw7Zt1Yx9Lm4Pv2"


def host(name: str = "a", **changes: Any) -> dict[str, Any]:
    """A host that may be deployed, with the given variables changed; None takes one away."""
    variables = {
        "ansible_host": f"{name}.corp.test",
        "agent_release_app": "sidekick",
        "livekit_url": "wss://livekit.corp.test",
        "livekit_api_key": "APIabcdef",
        "livekit_api_secret": SECRET,
        "livekit_agent_name": f"sidekick-{name}",
        "livekit_agent_image": f"registry.corp.test:5000/sidekick/worker@{DIGEST}",
        "agent_api_image": f"registry.corp.test:5000/sidekick/api@{DIGEST}",
        **changes,
    }
    return {variable: value for variable, value in variables.items() if value is not None}


def problems(**hosts: Mapping[str, Any]) -> list[str]:
    return inventory_problems(hosts, list(hosts))


BARE: Any = {"agent_release_app": None, "livekit_agent_image": None, "agent_api_image": None}


def test_an_entry_that_is_only_looked_at_needs_its_name_and_its_server() -> None:
    assert inventory_problems({"a": host(**BARE)}, ["a"], looks=True) == []
    assert len(problems(a=host(**BARE))) == len(BARE)


@pytest.mark.parametrize("variable", ["livekit_url", "livekit_api_key", "livekit_api_secret", "livekit_agent_name"])
def test_what_looking_needs_is_refused_when_it_is_missing(variable: str) -> None:
    (found,) = inventory_problems({"a": host(**{**BARE, variable: None})}, ["a"], looks=True)
    assert variable in found


class Failing(Mapping[str, Any]):
    """Stands for a host's variables of which one fails to template, as ansible-core 2.21 does: when used as text."""

    def __init__(self, variable: str, error: Exception) -> None:
        self.variables = host() | {variable: Raising(error)}

    def __getitem__(self, key: str) -> Any:
        return self.variables[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)


class Raising:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


ONE_HOST = [
    # variable changed, refused value, words of the sentence, allowed value
    ("agent_release_app", None, "agent_release_app is not set", "sidekick-2"),
    ("agent_release_app", "../sidekick", "expected small letters", "sidekick"),
    ("agent_release_app", "Sidekick", "expected small letters", "sidekick"),
    ("livekit_url", None, "livekit_url is not set", "wss://livekit.corp.test"),
    ("livekit_url", "", "livekit_url is not set", "https://livekit.corp.test"),
    ("livekit_url", "livekit.corp.test", "expected ws://", "wss://livekit.corp.test:7880/"),
    ("livekit_url", "wss://livekit.corp.test:port", "expected ws://", "wss://livekit.corp.test:443"),
    ("livekit_url", "wss://me:pw@livekit.corp.test", "with credentials", "wss://livekit.corp.test"),
    ("livekit_url", "ws://livekit.corp.test", "not encrypted", "ws://livekit.local"),
    ("livekit_url", "http://8.8.8.8:7880", "not encrypted", "http://10.8.8.8:7880"),
    ("livekit_api_url", "ws://livekit.corp.test", "livekit_api_url is 'ws://livekit.corp.test': not", "ws://127.0.0.1"),
    ("livekit_api_key", None, "livekit_api_key is not set", "APIkey"),
    ("livekit_api_key", "CHANGE_ME", "livekit_api_key is a placeholder", "APIkey"),
    ("livekit_api_secret", None, "livekit_api_secret is not set", SECRET),
    ("livekit_api_secret", SECRET[:31], "is 31 bytes long, expected at least 32", SECRET[:32]),
    ("livekit_api_secret", f"{SECRET}\n", "has white space", SECRET),
    ("livekit_api_secret", "changeme-changeme-changeme-changeme", "is a placeholder", SECRET),
    ("livekit_api_secret", "<at least 32 bytes from your LiveKit server>", "is a placeholder", SECRET),
    ("livekit_agent_name", None, "joins every new room", "sidekick"),
    ("livekit_agent_name", "", "joins every new room", "sidekick"),
    ("livekit_agent_name", "  ", "joins every new room", "s"),
    ("livekit_agent_name", "side kick", "without white space", "side-kick"),
    ("livekit_agent_name", "sidekick\n", "without white space", "side_kick"),
    ("livekit_agent_name", 12, "is of type int, expected text", "12"),
    ("livekit_agent_shared_name", "side kick", "without white space", "sidekick"),
    ("livekit_agent_image", None, "livekit_agent_image is not set", f"worker@{DIGEST}"),
    ("agent_api_image", None, "agent_api_image is not set", f"api@{DIGEST}"),
    ("livekit_agent_image", "corp.test/worker", "has no tag", f"corp.test/worker@{DIGEST}"),
    ("livekit_agent_image", "corp.test/worker:latest", "floats with :latest", f"corp.test/worker:latest@{DIGEST}"),
    ("livekit_agent_image", "corp.test/worker:1.2", "agent_release_allow_tags", f"corp.test/worker:1.2@{DIGEST}"),
    ("livekit_agent_image", "corp.test/worker@sha256:12", "64 hex digits", f"10.0.0.1:5000/worker@{DIGEST}"),
    ("livekit_agent_image", "corp.test/My Worker:1", "64 hex digits", f"my-worker@{DIGEST}"),
    ("livekit_url_allow_insecure", "perhaps", "expected true or false", "yes"),
    ("ansible_host", "192.0.2.11", "Nothing is configured", "10.0.2.11"),
    ("livekit_url", "wss://livekit.example.com", "Nothing is configured", "wss://livekit.example.corp.test"),
    ("livekit_url", "wss://[2001:db8::7]", "Nothing is configured", "wss://[2001:470::7]"),
]


@pytest.mark.parametrize(("variable", "refused", "words", "allowed"), ONE_HOST)
def test_a_setting_of_one_host(variable: str, refused: Any, words: str, allowed: Any) -> None:
    (found,) = problems(a=host(**{variable: refused}))
    assert words in found
    assert problems(a=host(**{variable: allowed})) == []


WITH_A_FLAG = [
    ("livekit_url_allow_insecure", {"livekit_url": "ws://livekit.corp.test"}, True),
    ("livekit_url_allow_insecure", {"livekit_url": "ws://livekit.corp.test"}, "true"),
    (
        "agent_release_allow_tags",
        {"livekit_agent_image": "worker:1.2", "agent_api_image": "corp.test:5000/api:1"},
        True,
    ),
]


@pytest.mark.parametrize(("flag", "changes", "value"), WITH_A_FLAG)
def test_a_flag_allows_what_is_refused_without_it(flag: str, changes: dict[str, Any], value: Any) -> None:
    assert problems(a=host(**changes))
    assert problems(a=host(**changes | {flag: False}))
    assert problems(a=host(**changes | {flag: value})) == []


@pytest.mark.parametrize("image", ["worker", "worker:latest", "corp.test:5000/worker"])
def test_a_floating_image_is_refused_even_where_tags_are_allowed(image: str) -> None:
    assert len(problems(a=host(livekit_agent_image=image, agent_release_allow_tags=True))) == 1


POOL = {"livekit_agent_pool": "p", "livekit_agent_name": "sidekick"}
SAME_NAME = {"livekit_agent_name": "sidekick"}
BETWEEN_HOSTS = [
    # b refused beside a, words, b allowed beside the same a
    pytest.param(
        SAME_NAME, SAME_NAME, "a (pool a) and b (pool b)", {"livekit_agent_name": "b"}, id="one name, two pools"
    ),
    pytest.param(
        SAME_NAME,
        {**SAME_NAME, "livekit_url": "HTTPS://LiveKit.corp.test:443/"},
        "a (pool a) and b (pool b)",
        {**SAME_NAME, "livekit_url": "wss://livekit.corp.test:7880"},
        id="the server written in another way",
    ),
    pytest.param(
        POOL, {**POOL, "livekit_agent_name": "other"}, "Pool p: livekit_agent_name", POOL, id="names in a pool"
    ),
    pytest.param(
        POOL,
        {**POOL, "livekit_url": "wss://livekit.corp.test:7880"},
        "Pool p: livekit_url",
        {**POOL, "livekit_url": "https://livekit.corp.test/"},
        id="servers in a pool",
    ),
    pytest.param(
        SAME_NAME,
        {"livekit_agent_shared_name": "sidekick"},
        "a: livekit_agent_name 'sidekick' is the livekit_agent_shared_name of b",
        {"livekit_agent_shared_name": "sidekick-shared"},
        id="another pool's shared name",
    ),
    pytest.param(
        {**SAME_NAME, "livekit_agent_shared_name": "sidekick"},
        {"livekit_agent_shared_name": "sidekick"},
        "is the livekit_agent_shared_name of b",
        {"livekit_agent_shared_name": "sidekick", "livekit_url": "wss://other.corp.test"},
        id="rolled back to a name that others are rolled back to",
    ),
    pytest.param(
        SAME_NAME,
        {"livekit_agent_name": "Sidekick"},
        "'sidekick' of a and 'Sidekick' of b differ only",
        {"livekit_agent_name": "Sidekick-2"},
        id="equal but for case",
    ),
]


@pytest.mark.parametrize(("a", "refused", "words", "allowed"), BETWEEN_HOSTS)
def test_a_conflict_between_hosts(a: Any, refused: Any, words: str, allowed: Any) -> None:
    (found,) = problems(a=host("a", **a), b=host("b", **refused))
    assert words in found
    assert problems(a=host("a", **a), b=host("b", **allowed)) == []


def test_applications_that_would_clash_on_one_host_are_told() -> None:
    one_host = {"ansible_host": "10.0.0.11"}
    (found,) = problems(a=host("a", **one_host), b=host("b", **one_host))
    assert "a and b are one host (10.0.0.11) and both deploy the application 'sidekick'" in found


@pytest.mark.parametrize("name", [" sidekick", "sidekick ", "side kick", "sidekick\t"])
def test_names_equal_but_for_white_space_are_refused(name: str) -> None:
    found = problems(a=host("a", livekit_agent_name="sidekick"), b=host("b", livekit_agent_name=name))
    assert any("differ only in case or white space" in problem for problem in found)


def test_a_host_that_is_rolled_back_alone_has_its_shared_name() -> None:
    names = {"livekit_agent_name": "sidekick", "livekit_agent_shared_name": "sidekick"}
    assert problems(a=host("a", **names), b=host("b")) == []


def test_hosts_may_have_one_shared_name_to_be_rolled_back_to() -> None:
    shared = {"livekit_agent_shared_name": "sidekick"}
    assert problems(a=host("a", **shared), b=host("b", **shared)) == []


def test_an_empty_group_says_that_nothing_is_configured() -> None:
    (found,) = problems()
    assert "nothing is configured" in found


def test_the_example_as_it_is_gets_one_sentence_for_all_hosts() -> None:
    (found,) = problems(
        a=host("a", ansible_host="192.0.2.11", livekit_api_secret=None), b=host("b", ansible_host="192.0.2.12")
    )
    assert "a (ansible_host 192.0.2.11), b (ansible_host 192.0.2.12)" in found


def test_a_host_without_an_address_is_reached_by_its_name() -> None:
    found = inventory_problems({"h.example.org": host(ansible_host=None)}, ["h.example.org"])
    assert found == problems(**{"h.example.org": host(ansible_host="h.example.org")})
    assert "Nothing is configured" in found[0]


def test_all_problems_are_told_at_once() -> None:
    found = problems(a=host("a", livekit_url=None, livekit_agent_image=None), b=host("b", ansible_host="192.0.2.1"))
    assert len(found) == 3


def test_a_variable_that_fails_is_a_sentence_with_host_and_variable() -> None:
    (found,) = inventory_problems({"a": Failing("livekit_url", ValueError("'nope' is undefined"))}, ["a"])
    assert found.startswith("a: livekit_url cannot be read ('nope' is undefined), expected a value")


def test_the_cause_of_a_failure_is_told_not_its_wrapping() -> None:
    error = RuntimeError("a marker was tripped")
    error.__cause__ = ValueError("division by zero")
    assert "(division by zero)" in inventory_problems({"a": Failing("livekit_url", error)}, ["a"])[0]


def test_the_missing_vault_variable_is_named() -> None:
    failing = Failing("livekit_api_secret", ValueError("'vault_livekit_api_secret' is undefined"))
    assert "('vault_livekit_api_secret' is undefined)" in inventory_problems({"a": failing}, ["a"])[0]


SECRET_FAILURES: list[Any] = [
    Failing("livekit_api_secret", ValueError(f"object of type 'dict' has no attribute '{SECRET}'")),
    host(livekit_api_secret=SECRET[:20]),
    host(livekit_api_secret=f"{SECRET} "),
    host(livekit_api_secret=f"changeme{SECRET}"),
    host(livekit_api_secret=[SECRET]),
    host(livekit_url=f"wss://key:{SECRET}@livekit.corp.test"),
    host(livekit_url=f"wss://key:{SECRET}@livekit.example.com"),
    host(livekit_url=f"ftp://key:{SECRET}@livekit.corp.test"),
]


@pytest.mark.parametrize("variables", SECRET_FAILURES)
def test_no_sentence_holds_a_secret(variables: Any) -> None:
    found = inventory_problems({"a": variables}, ["a"])
    assert len(found) == 1
    assert SECRET[:8] not in found[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ws://h", "http://h:80/"),
        ("wss://h", "https://H:443"),
        ("wss://h./", "wss://h"),
        ("ws://[::1]:7880", "http://[0:0:0:0:0:0:0:1]:7880"),
    ],
)
def test_one_server_written_in_two_ways(one: str, other: str) -> None:
    assert normalised_url(one) == normalised_url(other) != ""


@pytest.mark.parametrize("other", ["wss://h", "ws://h:81", "ws://h/path", "ws://g"])
def test_two_servers(other: str) -> None:
    assert normalised_url("ws://h") != normalised_url(other)


@pytest.mark.parametrize(
    ("url", "set_to", "nodes"),
    [
        ("ws://10.0.0.1:7880", None, 1),
        ("wss://livekit.corp.test", "", 1),
        ("wss://project.livekit.cloud", None, 2),
        ("wss://Project.Region.LiveKit.Cloud.:443/", None, 2),
        ("https://livekit.cloud", None, 2),
        ("wss://notlivekit.cloud", None, 1),
        ("wss://livekit.cloud.corp.test", None, 1),
        ("wss://corp.test/livekit.cloud", None, 1),
        ("wss://project.livekit.cloud", 1, 1),
        ("wss://project.livekit.cloud", "3", 3),
        ("ws://10.0.0.1:7880", 2, 2),
        ("nonsense", None, 1),
    ],
)
def test_livekit_cloud_has_several_nodes_unless_the_inventory_says_otherwise(url: str, set_to: Any, nodes: int) -> None:
    assert node_count(url, set_to) == nodes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost", True),
        ("livekit", True),
        ("lk.internal", True),
        ("172.31.0.1", True),
        ("fd00::1", True),
        ("172.32.0.1", False),
        ("livekit.cloud", False),
        ("203.0.113.1", False),
    ],
)
def test_what_is_local(name: str, expected: bool) -> None:
    assert is_local(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("203.0.113.9", True),
        ("198.51.100.1", True),
        ("lk.example", True),
        ("EXAMPLE.com.", True),
        ("10.0.0.1", False),
        ("myexample.com", False),
        ("", False),
    ],
)
def test_what_is_documentation(name: str, expected: bool) -> None:
    assert is_documentation(name) is expected


def test_a_run_speaks_to_one_server() -> None:
    hosts = {"a": host("a"), "b": host("b", livekit_url="wss://other.corp.test")}
    (sentence,) = server_problems(hosts, ["a", "b"])
    assert all(word in sentence for word in ("livekit.corp.test", "other.corp.test", "--limit"))


def test_one_server_written_in_two_ways_is_one() -> None:
    hosts = {"a": host("a"), "b": host("b", livekit_url="https://LIVEKIT.corp.test:443/")}
    assert server_problems(hosts, ["a", "b"]) == []


def test_hosts_of_another_server_outside_the_run_do_not_count() -> None:
    hosts = {"a": host("a"), "b": host("b", livekit_url="wss://other.corp.test")}
    assert server_problems(hosts, ["a"]) == []


# --- registries and archives -----------------------------------------------------------------------------------------

LOGIN = {"address": "registry.corp.test:5000", "username": "deploy", "password": "Zk8-long-enough"}


def login(**changes: Any) -> list[dict[str, Any]]:
    return [{key: value for key, value in {**LOGIN, **changes}.items() if value is not None}]


@pytest.mark.parametrize(
    "registries",
    [
        None,
        [],
        login(),
        login(address="docker.io"),
        login(address="[fd00::1]:5000"),
        login(password="with spaces: and $igns"),
        [*login(), *login(address="b")],
    ],
)
def test_logins_of_registries_are_allowed(registries: Any) -> None:
    assert problems(a=host(agent_release_registries=registries)) == []


@pytest.mark.parametrize(
    ("registries", "words"),
    [
        ("registry", "is of type str, expected a list"),
        (login()[0], "is of type dict, expected a list"),
        (["registry"], "has entry 1 of type str, expected address, username, password"),
        (login(user="x"), "of registry.corp.test:5000 has user, expected only address, username, password"),
        (login(password=None), "has no password, expected a value. Set it in the vault"),
        (login(password=""), "has no password"),
        (login(username=None), "has no username"),
        (login(address=None), "of entry 1 has no address"),
        (login(password="CHANGE_ME"), "has a placeholder as password"),
        (login(username="<user>"), "has a placeholder as username"),
        (login(password="Zk8-long-enough\n"), "has a password with a new line"),
        (login(username="a:b"), "has a username with a new line or, in a user name, a colon"),
        (login(address="https://registry.corp.test"), "as address, expected host or host:port"),
        (login(address="registry.corp.test/sidekick"), "as address, expected host or host:port"),
        ([*login(), *login(username="other")], "has registry.corp.test:5000 2 times, expected once"),
    ],
)
def test_wrong_login_of_a_registry_is_a_sentence(registries: Any, words: str) -> None:
    (problem,) = problems(a=host(agent_release_registries=registries))
    assert problem.startswith("a: agent_release_registries ")
    assert words in problem


def test_password_of_a_registry_is_in_no_sentence() -> None:
    found = problems(
        a=host(agent_release_registries=login(address="-", username="a:b", password="Zk8\nlong", more="Zk8 too"))
    )
    assert found
    assert "Zk8" not in " ".join(found)


def test_login_that_cannot_be_templated_is_a_sentence_without_the_value() -> None:
    registries = [{**LOGIN, "password": Raising(ValueError("bad value Zk8"))}]
    (problem,) = problems(a=host(agent_release_registries=registries))
    assert "agent_release_registries cannot be read (ValueError)" in problem


@pytest.mark.parametrize("image", ["sidekick/worker:1.4", "worker", "registry.corp.test:5000/worker:latest"])
def test_image_from_an_archive_needs_no_digest(image: str) -> None:
    assert problems(a=host(livekit_agent_image=image, agent_release_image_archives={image: "worker.tar"})) == []


@pytest.mark.parametrize(
    ("archives", "words"),
    [
        ("worker.tar", "is of type str, expected an archive's path for each image"),
        ({"worker:1": ""}, "has no path for worker:1"),
        ({"worker:1": None}, "has no path for worker:1"),
        ({f"worker@{DIGEST}": "worker.tar"}, "expected a reference without a digest"),
    ],
)
def test_wrong_archives_are_a_sentence(archives: Any, words: str) -> None:
    (problem,) = problems(a=host(agent_release_image_archives=archives))
    assert problem.startswith("a: agent_release_image_archives ")
    assert words in problem


# --- where containers reach the server -------------------------------------------------------------------------------

LOOPBACK = [
    "127.0.0.1",
    "127.1",
    "127.0.0.53",
    "2130706433",
    "0x7f.1",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "[::1]",
    "[::ffff:127.0.0.1]",
]


@pytest.mark.parametrize("name", [*LOOPBACK, "ip6-localhost", "localhost.localdomain"])
@pytest.mark.parametrize("scheme", ["ws", "https"])
def test_a_loopback_address_is_refused_with_what_to_set(scheme: str, name: str) -> None:
    found = problems(a=host(livekit_url=f"{scheme}://{name}:7880", livekit_url_allow_insecure=True))
    assert len(found) == 1
    assert "a: livekit_url is" in found[0]
    assert (
        "in a container is the container itself, expected the address at which containers reach the server" in found[0]
    )
    assert "livekit_api_url where the controller needs another one" in found[0]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_the_controller_may_reach_the_server_on_its_loopback_address(name: str) -> None:
    assert problems(a=host(livekit_api_url=f"ws://{name}:7880")) == []


@pytest.mark.parametrize("name", ["10.0.0.7", "livekit", "livekit.corp.test", "[fd00::7]", "128.0.0.1"])
def test_an_address_that_containers_reach_is_accepted(name: str) -> None:
    assert problems(a=host(livekit_url=f"wss://{name}:7880")) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ws://0.0.0.0:7880", "an address to listen on"),
        ("ws://[::]:7880", "an address to listen on"),
        ("wss://livekit.corp.test ", "with white space"),
        ("wss://livekit.corp.test\n", "with white space"),
        (" wss://livekit.corp.test", "with white space"),
        ("wss://livekit.corp.test/rtc", "with a path of the server's own"),
        ("wss://livekit.corp.test/x/agent/", "with a path of the server's own"),
        ("wss://livekit.corp.test?a=1", "with a path of the server's own or a query"),
        ("ws://:7880", "expected ws://"),
        ("ws://", "expected ws://"),
    ],
)
@pytest.mark.parametrize("variable", ["livekit_url", "livekit_api_url"])
def test_an_address_that_no_client_can_use_is_refused(variable: str, url: str, words: str) -> None:
    found = problems(a=host("a", **{variable: url, "livekit_url_allow_insecure": True}))
    assert len(found) == 1
    assert words in found[0]


def test_a_path_of_a_proxy_is_accepted() -> None:
    assert problems(a=host(livekit_url="wss://corp.test/livekit")) == []


KNOWS: dict[str, Any] = {"extra_hosts": ["host.docker.internal:host-gateway"]}


def test_a_name_of_docker_desktop_is_refused_where_containers_do_not_know_it() -> None:
    url: dict[str, Any] = {"livekit_url": "ws://host.docker.internal:7880", "livekit_url_allow_insecure": True}
    half: tuple[dict[str, Any], ...] = (
        {},
        {"livekit_agent_compose": KNOWS},
        {"livekit_agent_compose": KNOWS, "agent_api_compose": {"extra_hosts": ["x:1.2.3.4"]}},
    )
    for known in half:
        (found,) = problems(a=host("a", **url, **known))
        assert "Docker on Linux gives containers no address for host.docker.internal" in found
    mapped = {"extra_hosts": {"host.docker.internal": "host-gateway"}}
    assert problems(a=host("a", **url, livekit_agent_compose=KNOWS, agent_api_compose=mapped)) == []


# --- all of them -----------------------------------------------------------------------------------------------------

WRONG: dict[str, Any] = {
    "livekit_agent_name": "a b",
    "preflight_nonsense": 1,
    "livekit_url": "wss://other.corp.test",
    "agent_release_hooks": {"nonsense": "x.yml"},
    "deploy_on_batch_failure": "maybe",
    "livekit_agent_rehearsal_metadata": {1: "a"},
    "livekit_agent_compose": {"image": "x"},
    "verification_preview": {"path": "x"},
    "livekit_api_secret": f"worker{'-' * 32}",
}
IN_ORDER = [
    "a: livekit_agent_name is 'a b'",
    "a: deploy_on_batch_failure is 'maybe', expected keep or rollback",
    "b: deploy_on_batch_failure is 'maybe', expected keep or rollback",
    "a: preflight_nonsense is no variable",
    "found several LiveKit servers in one run",
    "agent_release_hooks has nonsense",
    "deploy_on_batch_failure is 'maybe'",
    "a: livekit_agent_rehearsal_metadata has the key 1",
    "a: livekit_agent_compose has the key 'image'",
    "a: verification_preview.path is 'x'",
    "a: livekit_api_secret is shorter than 4 characters, part of ids",
]


def all_problems(*hosts: dict[str, Any], run: list[str], given: list[str]) -> list[str]:
    hostvars = dict(zip("ab", hosts, strict=True))
    project = Project({"preflight": {}}, words=f"worker{'-' * 32}")
    return every.problems(hostvars, {"agent_hosts": list(hostvars)}, CommandLine("deploy", run, given), project)


def test_every_problem_of_an_inventory_is_found_in_order() -> None:
    found = all_problems(host(**WRONG), host("b", deploy_on_batch_failure="maybe"), run=["a", "b"], given=[])
    assert [text[: len(wanted)] for text, wanted in zip(found, IN_ORDER, strict=True)] == IN_ORDER


def test_servers_are_compared_of_the_hosts_of_a_run_only() -> None:
    hosts = host(), host("b", livekit_url="wss://other.corp.test")
    assert all_problems(*hosts, run=["a"], given=[]) == []
    assert len(all_problems(*hosts, run=["a", "b"], given=[])) == 1


def test_option_of_another_playbook_is_a_problem_of_the_command_line() -> None:
    hosts = host(evict_name="x"), host("b", evict_name="x")
    (found,) = all_problems(*hosts, run=["a"], given=["evict_name"])
    assert found.startswith("evict_name (given with -e) is nothing that deploy.yml knows")
