"""Attempts on the network, on sockets of the host, and on other rooms."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from .trying import (
    HOST,
    LIBC,
    NUMBERS,
    Attempts,
    Impossible,
    attempt,
    call,
    checked,
    connects,
    opens,
    reaches_socket,
    refuse,
)

INET, INET6, UNIX = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
STREAM, DATAGRAM, RAW, SEQUENCED = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET
NETLINK = 16


def makes(family: int, kind: int, protocol: int = 0) -> Callable[[], object]:
    """Return an attempt to make a socket. The filter refuses a family before the kernel looks for it."""

    def attempted() -> None:
        socket.socket(family, kind, protocol).close()

    return attempted


def makes_with_high_bits() -> None:
    os.close(call("socket", 40 | 1 << 32, STREAM, 0))


def makes_pair(family: int) -> Callable[[], object]:
    def attempted() -> None:
        for one in socket.socketpair(family, STREAM):
            one.close()

    return attempted


def finds_route(family: int, address: str) -> Callable[[], object]:
    """Return an attempt to find a way to an address. It looks a route up, and sends nothing."""
    return connects(family, lambda: (address, 9), DATAGRAM)


def ask_resolver() -> None:
    """Ask the host's resolver for a name, as a way to send data out."""
    with socket.socket(INET, DATAGRAM) as asking:
        asking.settimeout(2)
        asking.connect(("127.0.0.1", HOST["resolver"]))
        asking.send(b"secret.example.com")
        asking.recv(100)


def takes_endpoint(address: str) -> Callable[[], object]:
    def attempted() -> None:
        with socket.socket() as rival:
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            rival.bind((address, HOST["endpoint"]))
            rival.listen()

    return attempted


def take_low_port() -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 80))


def asks_interface(request: int, size: int = 40) -> Callable[[], object]:
    def attempted() -> None:
        with socket.socket(INET, DATAGRAM) as control:
            fcntl.ioctl(control, request, struct.pack("16sH", b"lo", 0x49).ljust(size, b"\0"))

    return attempted


def add_route() -> None:
    """Make a route through the loopback interface (SIOCADDRT)."""
    name = ctypes.create_string_buffer(b"lo")
    anywhere = struct.pack("=H14x", INET)
    entry = bytearray(120)
    for at in (8, 24, 40):
        entry[at : at + 16] = anywhere
    entry[56:58] = (1).to_bytes(2, "little")  # RTF_UP
    entry[88:96] = ctypes.addressof(name).to_bytes(8, "little")
    with socket.socket(INET, DATAGRAM) as control:
        try:
            fcntl.ioctl(control, 0x890B, bytes(entry))
        except OSError as error:
            if error.errno != errno.ENETDOWN:  # it asks for rights before that
                raise


def set_mark() -> None:
    with socket.socket(INET, DATAGRAM) as found:
        found.setsockopt(socket.SOL_SOCKET, 36, 1)


def see_through() -> None:
    with socket.socket(INET, DATAGRAM) as found:
        found.setsockopt(0, 19, 1)  # IP_TRANSPARENT


def join_shared_memory() -> None:
    checked(LIBC.syscall(NUMBERS["shmget"], HOST["shm_key"], 0, 0o444))


def claim_a_name() -> None:
    """Talk by an abstract socket that another room listens on."""
    with socket.socket(UNIX, DATAGRAM) as found:
        found.connect(f"\0{HOST['token']}-datagrams")
        found.send(b"x")


def pass_root() -> None:
    """Claim to be root in the credentials of a message."""
    near, far = socket.socketpair(UNIX, DATAGRAM)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    credentials = struct.pack("3i", 1, 0, 0)
    near.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)])


def find_interfaces() -> None:
    """Look for a network interface other than loopback."""
    found = set()
    with suppress(OSError), open("/proc/net/dev") as lines:  # noqa: PTH123 - as short as it gets
        found = {line.partition(":")[0].strip() for line in list(lines)[2:]} - {"lo", "sit0", "tunl0", "ip6tnl0"}
    if not found:
        refuse(errno.ENODEV)


def hosts_address() -> tuple[str, int]:
    if not HOST["address"]:
        raise Impossible("this host has no address but loopback")
    return HOST["address"], HOST["port"]


_FAMILIES = {
    "vsock": (40, STREAM, 0),
    "packet": (17, RAW, 0),
    "crypto": (38, SEQUENCED, 0),
    "routing": (NETLINK, RAW, 0),
    "audit": (NETLINK, RAW, 9),
    "firewall": (NETLINK, RAW, 12),
    "uevent": (NETLINK, RAW, 15),
    "generic netlink": (NETLINK, RAW, 16),
    "crypto netlink": (NETLINK, RAW, 21),
    "multipath": (INET, STREAM, 262),
    "UDP-Lite": (INET, DATAGRAM, 136),
    "SCTP": (INET, STREAM, 132),
    "DCCP": (INET, 6, 33),
    "raw": (INET, RAW, 1),
    "raw IPv6": (INET6, RAW, 58),
    "L2TP": (INET, DATAGRAM, 115),
    "SMC": (43, STREAM, 0),
    "XDP": (44, RAW, 0),
    "TIPC": (30, SEQUENCED, 0),
    "RDS": (21, SEQUENCED, 0),
    "KCM": (41, DATAGRAM, 0),
    "CAN": (29, RAW, 1),
    "Bluetooth": (31, RAW, 1),
    "key management": (15, RAW, 2),
    "PPP": (24, DATAGRAM, 0),
    "LLC": (26, STREAM, 0),
    "AX.25": (3, SEQUENCED, 0),
    "AppleTalk": (5, DATAGRAM, 0),
    "X.25": (9, SEQUENCED, 0),
    "NFC": (39, RAW, 0),
    "QRTR": (42, DATAGRAM, 0),
    "MCTP": (45, DATAGRAM, 0),
}
_PRIVILEGED = {"packet", "raw", "raw IPv6", "L2TP", "XDP", "CAN", "key management", "LLC", "NFC", "audit"}
_LINK = "seccomp rights"

NETWORK: Attempts = {
    "reach Docker": attempt(reaches_socket("/var/run/docker.sock"), "mounts"),
    "reach containerd": attempt(reaches_socket("/run/containerd/containerd.sock"), "mounts"),
    "reach D-Bus": attempt(reaches_socket("/run/dbus/system_bus_socket"), "mounts"),
    "reach X11": attempt(reaches_socket("/tmp/.X11-unix/X0"), "mounts"),  # noqa: S108 - the server's
    "reach an ssh agent": attempt(reaches_socket("/run/user/1000/ssh-agent"), "mounts"),
    "reach Wayland": attempt(reaches_socket("/run/user/1000/wayland-0"), "mounts"),
    "reach a socket file": attempt(reaches_socket("{socket}"), "mounts"),
    "reach an abstract socket": attempt(connects(UNIX, lambda: f"\0{HOST['token']}"), "net landlock"),
    "send to an abstract socket": attempt(claim_a_name, "net landlock"),
    "reach shared memory": attempt(join_shared_memory, "ipc seccomp"),
    "reach /dev/shm": attempt(opens("{shm}"), "mounts"),
    "find the cloud's metadata": attempt(finds_route(INET, "169.254.169.254"), "net"),
    "find a way out": attempt(finds_route(INET, "192.0.2.1"), "net"),
    "find a way out by IPv6": attempt(finds_route(INET6, "2001:db8::1"), "net"),
    "ask the host's resolver": attempt(ask_resolver, "net"),
    "reach the host's port": attempt(connects(INET, lambda: ("127.0.0.1", HOST["port"])), "net"),
    "reach the host's port by IPv6": attempt(connects(INET6, lambda: ("::1", HOST["port"])), "net"),
    "reach the host's port by 0.0.0.0": attempt(connects(INET, lambda: ("0.0.0.0", HOST["port"])), "net"),
    "reach the host's address": attempt(connects(INET, hosts_address), "net"),
    "find a network interface": attempt(find_interfaces, "net"),
    "take the endpoint": attempt(takes_endpoint("127.0.0.1"), "endpoint rights", only="agent"),
    "take the endpoint everywhere": attempt(takes_endpoint("0.0.0.0"), "endpoint rights", only="agent"),
    "take a port below 1024": attempt(take_low_port, "rights"),
    "change an interface": attempt(asks_interface(0x8914), _LINK),
    "rename an interface": attempt(asks_interface(0x8923), _LINK),
    "make a bridge": attempt(asks_interface(0x89A0), _LINK),
    "add a route": attempt(add_route, _LINK),
    "mark packets": attempt(set_mark, "rights"),
    "take packets of others": attempt(see_through, "rights"),
    "claim to be root in a message": attempt(pass_root, "rights"),
    "make a socket with high bits": attempt(makes_with_high_bits, "seccomp"),
    "make a pair of TIPC sockets": attempt(makes_pair(30), "seccomp"),
    **{
        f"open a {name} socket": attempt(makes(*socket_of), _LINK if name in _PRIVILEGED else "seccomp")
        for name, socket_of in _FAMILIES.items()
    },
}
"""Attempts on the network and on other rooms, by name."""
