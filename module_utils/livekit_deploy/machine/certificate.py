# SPDX-License-Identifier: Apache-2.0
"""A certificate for the proxy's site: what `openssl` prints of it, and what is wrong with it, with found, expected and
what to do.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common.times import TO_THE_MINUTE, stamp
from .command import Run

SOON_DAYS = 14
DAY = 86400
PUBLIC_KEY = re.compile(r"-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----")
ALTERNATIVE_NAME = re.compile(r"(?:DNS|IP Address):([^,\s]+)")


class CertificateError(Exception):
    """The certificate cannot be served; the text says found, expected and what to do."""


@dataclass(frozen=True)
class Certificate:
    begins: float
    ends: float
    names: tuple[str, ...]
    public_key: str


def parsed_certificate(text: str) -> Certificate:
    """What `openssl x509 -noout -dates -ext subjectAltName -pubkey` prints."""
    found = dict(re.findall(r"^(notBefore|notAfter)=(.+?)\s*$", text, re.MULTILINE))
    key = PUBLIC_KEY.search(text)
    if not key or len(found) < 2:
        raise ValueError("no dates or no public key")
    begins, ends = (float(ssl.cert_time_to_seconds(found[name])) for name in ("notBefore", "notAfter"))
    return Certificate(begins, ends, tuple(name.lower() for name in ALTERNATIVE_NAME.findall(text)), key[0])


def refuse_paths(certificate: str, key: str) -> None:
    if bool(certificate) != bool(key) or not all(path.startswith("/") for path in (certificate, key) if path):
        raise CertificateError(
            f"found: api_proxy_certificate {certificate!r} and api_proxy_certificate_key {key!r}, expected two "
            "absolute paths on the host, or neither. Correct them"
        )


def read_certificate(run: Run, certificate: str, key: str) -> Certificate:
    """The certificate of these files, if a server could use it with this key at some time."""
    refuse_paths(certificate, key)
    for variable, path in (("api_proxy_certificate", certificate), ("api_proxy_certificate_key", key)):
        if not Path(path).is_file():
            raise CertificateError(
                f"found: no file {path} on this host, expected the one that {variable} names. "
                "Put it there, for instance with certbot"
            )
    status, printed, said = run(
        ["openssl", "x509", "-in", certificate, "-noout", "-dates", "-ext", "subjectAltName", "-pubkey"]
    )
    try:
        found = parsed_certificate(printed if status == 0 else "")
    except ValueError:
        raise CertificateError(
            f"found: openssl reads no certificate in {certificate} ({first_line(said)}), expected one in PEM form, the "
            "host's own first, then those between it and the authority. Correct api_proxy_certificate"
        ) from None
    # Without a terminal nobody is asked for a password, and nginx would have nobody to ask either.
    status, printed, said = run(["openssl", "pkey", "-in", key, "-pubout", "-passin", "pass:"])
    public = PUBLIC_KEY.search(printed if status == 0 else "")
    if not public:
        raise CertificateError(
            f"found: openssl reads no private key in {key} ({first_line(said)}), expected one in PEM form without a "
            "password. Correct api_proxy_certificate_key"
        )
    if public[0] != found.public_key:
        raise CertificateError(
            f"found: the key {key} does not belong to the first certificate in {certificate}, expected the two that "
            "were made for each other. Correct the paths, or the order of the certificates: the host's own is the "
            "first"
        )
    return found


def refuse_dates(found: Certificate, path: str, now: float) -> None:
    if found.ends <= now:
        raise CertificateError(
            f"found: the certificate {path} ended on {stamp(found.ends, TO_THE_MINUTE)}, expected one that is valid "
            "now: no client accepts it. Renew it"
        )
    if found.begins > now:
        raise CertificateError(
            f"found: the certificate {path} begins on {stamp(found.begins, TO_THE_MINUTE)} only, expected one that is "
            "valid now. Look at the host's clock (timedatectl), or take another certificate"
        )


def certificate_notes(found: Certificate, path: str, server_names: Sequence[str], now: float) -> list[str]:
    """What is not wrong yet, or for some clients only."""
    told = []
    if found.ends - now < SOON_DAYS * DAY:
        told.append(f"the certificate {path} ends on {stamp(found.ends, TO_THE_MINUTE)}: renew it")
    if missing := [name for name in server_names if not is_covered(name, found.names)]:
        told.append(
            f"the certificate {path} is for {', '.join(found.names) or 'no name'} and not for {', '.join(missing)}, as "
            "api_proxy_server_name says: clients refuse it under that name"
        )
    return told


def is_covered(server_name: str, names: Iterable[str]) -> bool:
    """Whether a certificate's names have one of nginx's; a wildcard stands for one label.

    Regular expressions and `_` are no names.
    """
    name = server_name.lower().strip("[]")
    if name.startswith("~") or name in ("_", ""):
        return True
    if name.startswith("."):  # nginx's short form
        return is_covered(name[1:], names) and is_covered(f"*{name}", names)
    wildcard = f"*.{name.partition('.')[2]}" if not name.replace(".", "").isdigit() else name
    return any(one in (name, wildcard) for one in names)


def first_line(said: str) -> str:
    return next((line.strip() for line in said.splitlines() if line.strip()), "no word")
