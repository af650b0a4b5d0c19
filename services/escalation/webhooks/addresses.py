"""Keeps webhooks away from addresses inside: loopback, private and link-local ones.

The address that was looked at is the one that is connected to, so that a name server that answers
differently a moment later changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket


class AddressRefused(Exception):
    """The address must not be called; the message says why, for the tenant's admins."""


async def outside_address(host: str, port: int) -> str:
    """An IP address of the host to connect to. Raises AddressRefused, also where one of several is inside."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressRefused(f"the host {host} cannot be found") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(is_outside(address) for address in addresses):
        raise AddressRefused(
            f"{host} leads to an inside address: WEBHOOK_ALLOW_PRIVATE_ADDRESSES=true allows it"
        )
    return addresses[0]


def is_outside(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return ip.is_global and not ip.is_multicast
