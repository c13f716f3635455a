"""Addresses that alerts may be sent to: public ones, and networks that the operator allows.

Whoever may name a URL must not be able to have the hub ask what only the hub can reach: a cloud's
metadata service, a database, its own port. A name is looked up once, all that it stands for is
checked, and the connection is made to what was checked.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

from cloud_hub.errors import Forbidden, HubFault, Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return networks such as ``10.0.0.0/8``; raises Invalid."""
    try:
        return tuple(ipaddress.ip_network(text.strip(), strict=False) for text in texts)
    except ValueError as error:
        raise Invalid(f"networks: expected such as 10.0.0.0/8; {error}") from error


def meant(address: Address) -> Address:
    """Return the address that is reached: of IPv6 that wraps one of IPv4, that one."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Return whether alerts may be sent there.

    Args:
        address: that a name stands for.
        allowed: networks that are not public, and may be.
    """
    real = meant(address)
    if any(real in network or address in network for network in allowed):
        return True
    return real.is_global and not real.is_multicast


def is_private(address: str, allowed: Sequence[Network]) -> bool:
    """Return whether an address is in one of the allowed networks."""
    real = meant(ipaddress.ip_address(address))
    return any(real in network for network in allowed)


def checked_address(host: str, port: int, allowed: Sequence[Network]) -> str:
    """Return the address to connect to.

    Args:
        host: name or address.
        port: of the connection.
        allowed: networks that are not public, and may be.

    Raises:
        HubFault: the name stands for nothing.
        Forbidden: it stands for an address that is not public, beside others or alone.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    except (OSError, UnicodeError, ValueError) as error:
        raise HubFault(f"{host}: no address has that name; {error}") from error
    for address in addresses:
        if not is_allowed(address, allowed):
            raise Forbidden(
                f"{host}: is {address}, which is not public; the hub's operator may allow it: "
                "edge-hub serve --alert-network"
            )
    return str(addresses[0])
