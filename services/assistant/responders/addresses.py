"""Keeps a tenant's `llm.baseUrl` away from addresses inside: loopback, private and link-local ones."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

# Takes host and port, gives what `getaddrinfo` gives. Raises OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[tuple[Any, ...]]]]


class AddressRefused(Exception):
    """The address cannot be used; the message says why, for operators."""


async def resolve(host: str, port: int) -> Sequence[tuple[Any, ...]]:
    """What the system says."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def outside_address(url: str, *, resolve: Resolve = resolve) -> str:
    """An IP address of the URL's host to connect to. Raises AddressRefused unless all of them are public."""
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host:
        raise AddressRefused("llm.baseUrl must be an http or https address")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = await resolve(host, port)
    except (OSError, ValueError) as error:
        raise AddressRefused(f"the host of llm.baseUrl cannot be resolved: {host}") from error
    addresses = [str(address[0]) for *_, address in found]
    if not addresses or not all(is_outside(address) for address in addresses):
        raise AddressRefused(
            f"llm.baseUrl leads to an inside address ({host}): LLM_ALLOW_PRIVATE_ADDRESSES=true allows it"
        )
    return addresses[0]


def is_outside(address: str) -> bool:
    """Whether an IP address is reachable on the public internet and nothing else."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return ip.is_global and not ip.is_multicast
