# SPDX-License-Identifier: Apache-2.0
"""What openssl says of a certificate, with openssl itself; names and dates as a table."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible.module_utils.livekit_deploy.machine.certificate import (
    Certificate,
    CertificateError,
    certificate_notes,
    is_covered,
    parsed_certificate,
    read_certificate,
    refuse_dates,
)
from ansible.module_utils.livekit_deploy.machine.command import Runner

NOW = 1_767_323_400.0  # 2026-01-02T03:10:00Z
DAY = 86400.0
NEW = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a"]
PRINTED = """notBefore=Jan  1 00:00:00 2026 GMT
notAfter=Apr  1 12:00:00 2026 GMT
X509v3 Subject Alternative Name:{separator}
    DNS:A.test, DNS:*.b.test, IP Address:10.0.0.1
-----BEGIN PUBLIC KEY-----
MFkwEwYH
-----END PUBLIC KEY-----
"""


def valid(ends: float = NOW + 90 * DAY, begins: float = NOW - DAY, names: tuple[str, ...] = ("a.test",)) -> Certificate:
    return Certificate(begins, ends, names, "key")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs, a and b; a's key once more with a password; a certificate without names."""
    there = tmp_path_factory.mktemp("made")
    for name, more in (("a", ["-addext", "subjectAltName=DNS:a.test,IP:10.0.0.1"]), ("b", [])):
        subprocess.run(
            [*NEW, *more, "-out", f"{there}/{name}.pem", "-keyout", f"{there}/{name}.key"],
            check=True,
            capture_output=True,
        )
    locked = [
        "openssl",
        "ec",
        "-in",
        f"{there}/a.key",
        "-aes256",
        "-passout",
        "pass:secret",
        "-out",
        f"{there}/locked.key",
    ]
    subprocess.run(locked, check=True, capture_output=True)
    (there / "chain.pem").write_text((there / "b.pem").read_text() + (there / "a.pem").read_text())
    return there


@pytest.mark.parametrize("separator", ["", " "])
def test_what_openssl_prints_is_understood(separator: str) -> None:
    found = parsed_certificate(PRINTED.format(separator=separator))
    assert (found.begins, found.ends) == (1767225600.0, 1775044800.0)
    assert found.names == ("a.test", "*.b.test", "10.0.0.1")
    assert found.public_key.startswith("-----BEGIN PUBLIC KEY-----")


@pytest.mark.parametrize("text", ["", "notBefore=Jan  1 00:00:00 2026 GMT\n", PRINTED.replace("Apr", "Apl")])
def test_what_openssl_does_not_print_is_no_certificate(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parsed_certificate(text)


def test_a_pair_is_read(made: Path) -> None:
    assert read_certificate(Runner(), f"{made}/a.pem", f"{made}/a.key").names == ("a.test", "10.0.0.1")
    assert read_certificate(Runner(), f"{made}/b.pem", f"{made}/b.key").names == ()


PAIRS = [
    ("nope.pem", "a.key", "no file {made}/nope.pem on this host, expected the one that api_proxy_certificate names"),
    (
        "a.pem",
        "nope.key",
        "no file {made}/nope.key on this host, expected the one that api_proxy_certificate_key names",
    ),
    ("a.key", "a.key", "openssl reads no certificate in {made}/a.key"),
    ("a.pem", "a.pem", "openssl reads no private key in {made}/a.pem"),
    ("a.pem", "locked.key", "expected one in PEM form without a password"),
    ("a.pem", "b.key", "the key {made}/b.key does not belong to the first certificate in {made}/a.pem"),
    ("chain.pem", "a.key", "the host's own is the first"),
]


@pytest.mark.parametrize(("certificate", "key", "words"), PAIRS)
def test_a_pair_that_nginx_could_not_use_is_refused(made: Path, certificate: str, key: str, words: str) -> None:
    with pytest.raises(CertificateError) as refused:
        read_certificate(Runner(), f"{made}/{certificate}", f"{made}/{key}")
    assert words.format(made=made) in str(refused.value)
    assert str(refused.value).startswith("found: ")
    assert "expected" in str(refused.value)


@pytest.mark.parametrize(
    ("certificate", "key"), [("/a.pem", ""), ("", "/a.key"), ("a.pem", "/a.key"), ("/a.pem", "~/a.key")]
)
def test_both_paths_are_absolute(certificate: str, key: str) -> None:
    with pytest.raises(CertificateError, match="expected two absolute paths on the host, or neither"):
        read_certificate(Runner(), certificate, key)


def test_no_key_is_in_a_refusal(made: Path) -> None:
    with pytest.raises(CertificateError) as refused:
        read_certificate(Runner(), f"{made}/a.key", f"{made}/a.key")
    assert (made / "a.key").read_text().splitlines()[1] not in str(refused.value)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (valid(ends=NOW), "ended on 2026-01-02 03:10 UTC, expected one that is valid now"),
        (valid(begins=NOW + 1), "begins on 2026-01-02 03:10 UTC only, expected one that is valid now"),
    ],
)
def test_a_certificate_of_another_time_is_refused(found: Certificate, words: str) -> None:
    with pytest.raises(CertificateError, match=words):
        refuse_dates(found, "/a.pem", NOW)
    refuse_dates(valid(), "/a.pem", NOW)


def test_a_certificate_that_ends_within_14_days_is_noted() -> None:
    assert certificate_notes(valid(ends=NOW + 14 * DAY), "/a.pem", ["a.test"], NOW) == []
    (note,) = certificate_notes(valid(ends=NOW + 14 * DAY - 1), "/a.pem", ["a.test"], NOW)
    assert note == "the certificate /a.pem ends on 2026-01-16 03:09 UTC: renew it"


def test_a_name_that_the_certificate_does_not_have_is_noted() -> None:
    (note,) = certificate_notes(valid(names=("b.test", "c.test")), "/a.pem", ["a.test", "b.test"], NOW)
    assert "is for b.test, c.test and not for a.test" in note


@pytest.mark.parametrize(
    ("server_name", "names", "expected"),
    [
        ("a.test", ["a.test"], True),
        ("A.Test", ["a.test"], True),
        ("a.test", ["b.test"], False),
        ("a.test", [], False),
        ("x.a.test", ["*.a.test"], True),
        ("y.x.a.test", ["*.a.test"], False),
        ("a.test", ["*.a.test"], False),
        ("*.a.test", ["*.a.test"], True),
        (".a.test", ["*.a.test"], False),
        (".a.test", ["*.a.test", "a.test"], True),
        ("10.0.0.1", ["10.0.0.1"], True),
        ("10.0.0.1", ["*.0.0.1"], False),
        ("[2001:db8::1]", ["2001:db8::1"], True),
        ("_", ["a.test"], True),
        ("~^(www\\.)?a", ["b.test"], True),
    ],
)
def test_which_names_a_certificate_covers(server_name: str, names: list[str], expected: bool) -> None:
    assert is_covered(server_name, names) is expected
