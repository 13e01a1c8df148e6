# SPDX-License-Identifier: Apache-2.0
"""What nginx says, as sentences with found, expected and what to do."""

from __future__ import annotations

import pytest
from ansible.module_utils.livekit_deploy.machine.nginx import broken, includes, port_problems, refused, short_refusal

NO_CERTIFICATE = (
    '2026/11/25 18:56:06 [emerg] 12#12: cannot load certificate "/etc/ssl/a.pem": BIO_new_file() failed (SSL: '
    "error:80000002:system library::No such file or directory)\n"
    "nginx: configuration file /etc/nginx/nginx.conf test failed\n"
)
UPSTREAM = "/etc/nginx/livekit-agent-deploy/a.upstream.conf"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            NO_CERTIFICATE,
            (
                'cannot load certificate "/etc/ssl/a.pem": BIO_new_file() failed (SSL: '
                "error:80000002:system library::No such"
            ),
        ),
        (
            'nginx: [emerg] unknown directive "x" in /a:1\nnginx: configuration file /a test failed',
            'unknown directive "x" in /a:1',
        ),
        ("nginx.service is not active, cannot reload.\n", "nginx.service is not active, cannot reload"),
        ("nginx: [warn] one\nnginx: [emerg] two", "one; two"),
        ("", ""),
    ],
)
def test_nginx_is_quoted_in_one_line(said: str, expected: str) -> None:
    assert short_refusal(said).startswith(expected)
    assert "\n" not in short_refusal(said)
    assert "test failed" not in short_refusal(said)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (short_refusal(NO_CERTIFICATE), "Put the certificate and its key at the paths"),
        ('duplicate upstream "a" in /a:1', "remove its include, or set api_proxy_manage: false"),
        ("nginx.service is not active, cannot reload", "systemctl start nginx"),
        ("unknown directive", "see that `nginx -t` passes"),
    ],
)
def test_a_refusal_says_what_to_do(said: str, remedy: str) -> None:
    for sentence in (refused(said, None, UPSTREAM), broken(said)):
        assert sentence.startswith("found: ")
        assert "Expected: " in sentence
        assert remedy in sentence


def test_a_refusal_that_is_not_about_our_change_says_so() -> None:
    assert refused("theirs", "theirs", UPSTREAM) == broken("theirs")
    assert "on this host already: theirs" in broken("theirs")


TAKEN = {"api_proxy_listen_port": (80, "apache2 (process 8)"), "api_proxy_https_port": (443, "")}


def test_a_port_that_somebody_has_is_told_with_its_variable() -> None:
    (found,) = port_problems(TAKEN, "")
    assert found.startswith("found: apache2 (process 8) listens on port 80, expected nginx or nobody.")
    assert "api_proxy_listen_port" in found


@pytest.mark.parametrize(("packaged", "number"), [("", 0), ("apache2", 1)])
def test_the_port_of_the_packages_own_site_has_to_be_free_while_it_is_installed(packaged: str, number: int) -> None:
    assert len(port_problems({"api_proxy_listen_port": (8080, "")}, packaged)) == number


def test_one_port_is_told_once() -> None:
    assert len(port_problems(TAKEN, "apache2 (process 8)")) == 1


def test_a_configuration_has_a_file_where_nginx_says_so() -> None:
    dump = f"# configuration file /etc/nginx/nginx.conf:\ninclude {UPSTREAM};\n"
    assert not includes(dump, UPSTREAM)
    assert includes(f"{dump}# configuration file {UPSTREAM}:\nupstream a {{}}\n", UPSTREAM)
