"""A second real Synapse, which federates with the one our bridge serves, over TLS on the loopback interface.

Both are named by address and port, so that neither looks anything up, and trust one certificate, made for the test;
their lists of domains hold each other and nobody else.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chattor_bridge import registration
from chattor_bridge.ops.ports import free_port
from chattor_bridge.ops.synapse import Synapse, ensure_synapse
from tests.synapse import ENVIRONMENT, Homestead

HOST = "127.0.0.1"


class FederatingSynapse(Synapse):
    """A homeserver named ``127.0.0.1:port``, which talks with ``neighbour``, its like."""

    def __init__(self, directory: Path, certificate: Path, *, port: int, neighbour: str, **others: Any) -> None:
        super().__init__(ENVIRONMENT, directory, domain=f"{HOST}:{port}", **others)
        self._certificate = certificate
        self._federation_port = port
        self._neighbour = neighbour

    def _configuration(self) -> dict[str, object]:
        configuration = super()._configuration()
        listeners = configuration["listeners"]
        assert isinstance(listeners, list)
        federation = {
            "port": self._federation_port,
            "bind_addresses": [HOST],
            "type": "http",
            "tls": True,
            "resources": [{"names": ["federation"], "compress": False}],
        }
        return configuration | {
            "listeners": [*listeners, federation],
            "tls_certificate_path": str(self._certificate),
            "tls_private_key_path": str(_key_of(self._certificate)),
            "federation_custom_ca_list": [str(self._certificate)],
            "federation_domain_whitelist": [self.domain, self._neighbour],
            "ip_range_blacklist": [],
        }


@asynccontextmanager
async def two_homesteads(directory: Path) -> AsyncIterator[tuple[Homestead, Synapse]]:
    """The homeserver our bridge serves, and its neighbour, both running."""
    await ensure_synapse(ENVIRONMENT)
    certificate = directory / "certificate.pem"
    _write_certificate(certificate)
    home, far, listener = free_port(), free_port(), free_port()
    ours = registration.generate(f"{HOST}:{home}", f"http://{HOST}:{listener}", "chattorbot")
    registration.write(ours, directory / "registration.yaml")
    near = FederatingSynapse(
        directory / "near",
        certificate,
        port=home,
        neighbour=f"{HOST}:{far}",
        registrations=[directory / "registration.yaml"],
    )
    other = FederatingSynapse(directory / "far", certificate, port=far, neighbour=f"{HOST}:{home}")
    async with near, other:
        yield Homestead(near, ours, listener), other


def _key_of(certificate: Path) -> Path:
    return certificate.with_suffix(".key")


def _write_certificate(file: Path) -> None:
    """A certificate for `HOST`, signed by its own key, and that key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _key_of(file).write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
