"""An authority of our own and the certificates it makes, of any time; ansible-core brings the library along."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CURVE = ec.SECP256R1()
ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of the tests")])
USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
MORE_USES = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")


def key_usage(*used: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in used for name in (*USES, *MORE_USES)})


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@dataclass(frozen=True)
class Pair:
    certificate: str
    key: str = field(repr=False)


@dataclass
class Authority:
    """Trusted by whoever has its ``certificate``."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(CURVE), repr=False)

    def __post_init__(self) -> None:
        own = self.builder(ISSUER, self.key, days=90).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate = pem(
            own.add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True).sign(self.key, hashes.SHA256())
        )

    def builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        """A certificate from a while ago; with a number of days below zero it has ended."""
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(ISSUER, subject, key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=60)).not_valid_after(now + timedelta(days=days))
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return made.add_extension(own, critical=False).add_extension(issuer, critical=False)

    def pair(self, address: str, days: int = 30) -> Pair:
        """A certificate for an address and its key."""
        key = ec.generate_private_key(CURVE)
        made = self.builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)]), key, days)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        made = made.add_extension(names, critical=False).add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return Pair(pem(made.sign(self.key, hashes.SHA256())), key.private_bytes(*kind).decode())
