"""Keeps a tenant's `llm.baseUrl` away from addresses inside: loopback, private and link-local ones.

Names are resolved before a connection is used. A name server that answers differently a moment later is not
caught here; operators who face that put an egress proxy before the service (HTTPS_PROXY is honoured).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit


class AddressRefused(Exception):
    """The address cannot be used; the message says why, for operators."""


async def check_outside(base_url: str) -> None:
    """Raise AddressRefused unless every address of the URL's host is a public one."""
    parts = urlsplit(base_url)
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host:
        raise AddressRefused("llm.baseUrl must be an http or https address")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise AddressRefused(f"the host of llm.baseUrl cannot be resolved: {host}") from error
    for *_, address in found:
        if not is_outside(str(address[0])):
            raise AddressRefused(
                f"llm.baseUrl leads to an inside address ({host}): LLM_ALLOW_PRIVATE_ADDRESSES=true allows it"
            )


def is_outside(address: str) -> bool:
    """Whether an IP address is reachable on the public internet and nothing else."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return ip.is_global and not ip.is_multicast
