"""A tenant's model over TLS: connected to the address that was looked at, verified by the name."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.assistant.responders.addresses import AddressRefused, outside_address
from services.assistant.responders.openai_transport import GuardedTransport

NAME = "model.example"


def signed(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """A certificate for the name `subject`; an authority's where it is its own issuer."""
    today = datetime.datetime.now(datetime.UTC)
    authority = subject == issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@dataclass
class ModelServer:
    """What it was asked, and by which names."""

    port: int = 0
    hosts: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request after another, so that connections are kept."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.hosts.append(head.lower().partition("host: ")[2].split("\r\n")[0])
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(address: str, port: int, context: ssl.SSLContext | None) -> AsyncIterator[ModelServer]:
    server = ModelServer()
    if context is not None:
        context.sni_callback = lambda _socket, name, _context: server.names.append(name)
    listener = await asyncio.start_server(server.answer, address, port, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


@dataclass(frozen=True)
class Authority:
    """A file that names it, and what a server of `NAME` needs."""

    trusted: Path
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = signed("The house's own authority", root_key, "The house's own authority", root_key)
    certificate = signed(NAME, key, "The house's own authority", root_key)
    pem = serialization.Encoding.PEM
    (folder / "root.pem").write_bytes(root.public_bytes(pem))
    (folder / "server.pem").write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return Authority(folder / "root.pem", context)


async def loopback(_url: str) -> str:
    """Stands for an address outside."""
    return "127.0.0.1"


def client(look: Callable[[str], Awaitable[str]]) -> httpx2.AsyncClient:
    transport = GuardedTransport(
        "https://model.example", allow_private=False, limits=httpx2.Limits(), look=look
    )
    return httpx2.AsyncClient(transport=transport)


async def test_the_certificate_is_that_of_the_name(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted))
    async with serving("127.0.0.1", 0, authority.context) as server, client(loopback) as calls:
        answer = await calls.get(f"https://{NAME}:{server.port}/v1/models")
        assert (answer.status_code, answer.text) == (200, "ok")
        assert server.names == [NAME]
        assert server.hosts == [f"{NAME}:{server.port}"]


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1", f"sub.{NAME}"])
async def test_another_name_is_refused(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted))
    async with serving("127.0.0.1", 0, authority.context) as server, client(loopback) as calls:
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await calls.get(f"https://{name}:{server.port}/v1/models")
        assert server.hosts == []


async def test_an_authority_that_nobody_named_is_refused(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with serving("127.0.0.1", 0, authority.context) as server, client(loopback) as calls:
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await calls.get(f"https://{NAME}:{server.port}/v1/models")
        assert server.hosts == []


async def test_authorities_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/authorities.pem")
    with pytest.raises(OSError, match="SSL_CERT_FILE"):
        client(loopback)


async def test_a_name_that_leads_elsewhere_a_moment_later_leads_nowhere_else() -> None:
    """The system says 127.0.0.1 for it, where something inside listens; what was looked at is another."""

    async def look(url: str) -> str:
        assert httpx2.URL(url).host == "localhost"
        return "127.0.0.2"

    async with (
        serving("127.0.0.2", 0, None) as outside,
        serving("127.0.0.1", outside.port, None) as inside,
        client(look) as calls,
    ):
        for _ in range(3):
            assert (await calls.get(f"http://localhost:{outside.port}/v1")).text == "ok"
        assert len(outside.hosts) == 3
        assert inside.hosts == []


async def test_a_kept_connection_is_no_leave_to_go_on() -> None:
    """Each request is looked at, also where a connection stands open from the one before."""
    looks: list[str] = []

    async def look(url: str) -> str:
        looks.append(url)
        if len(looks) > 1:
            raise AddressRefused("leads inside now")
        return "127.0.0.1"

    async with serving("127.0.0.1", 0, None) as server, client(look) as calls:
        await calls.get(f"http://{NAME}:{server.port}/v1")
        with pytest.raises(AddressRefused):
            await calls.get(f"http://{NAME}:{server.port}/v1")
        assert len(server.hosts) == 1


async def test_every_address_of_a_name_must_be_outside() -> None:
    answers: list[list[str]] = [["93.184.216.34"], ["93.184.216.34", "10.0.0.1"], ["127.0.0.1"], []]

    async def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
        assert (host, port) == (NAME, 443)
        kind = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [
            (kind[ipaddress.ip_address(address).version], socket.SOCK_STREAM, 6, "", (address, port))
            for address in answers.pop(0)
        ]

    look = partial(outside_address, f"https://{NAME}/v1", resolve=resolve)
    assert await look() == "93.184.216.34"
    for _ in range(3):
        with pytest.raises(AddressRefused):
            await look()
