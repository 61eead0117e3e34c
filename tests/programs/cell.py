"""A room without windows: ``unshare --net --mount python -m tests.programs.cell PORT...``.

A network namespace in which every address there is belongs to the loopback interface, so that whatever a program in
it tries to reach, by whatever protocol, becomes a packet that is seen here instead of an error that nobody notices.
Each is told as a JSON line, unless it goes to or comes from one of the ``PORT``s of 127.0.0.1. Sockets in the file
system work across namespaces: the ones in ``/run``, of name services and the like, are covered up.

Other programs enter with nsenter, by the id of this process. It ends with its standard input, and takes the room along.
"""

from __future__ import annotations

import ipaddress
import json
import select
import socket
import struct
import subprocess
import sys
from pathlib import Path

RESOLVER = "192.0.2.53"
"""Where programs in the room look names up; nobody there answers."""

_EVERY_PROTOCOL = 0x0003
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
"""linux/if_packet.h; Python has no names for them."""

_BUFFER = 8 << 20
"""Bytes of packets that may wait for this program; one that did not fit would be counted, and told."""

_IPV4, _IPV6, _TCP, _UDP = 0x0800, 0x86DD, 6, 17


def close_the_windows() -> None:
    """Raises: CalledProcessError when this system has no such thing."""
    for command in (
        "ip link set lo multicast on up",
        "ip route add local default dev lo",
        "ip route add 224.0.0.0/4 dev lo",
        "ip -6 route add local default dev lo",
        "ip -6 route add multicast ff00::/8 dev lo table local",
        "mount -t tmpfs tmpfs /run",
    ):
        subprocess.run(command.split(), check=True)
    resolver = Path("/run/resolver")
    resolver.write_text(f"nameserver {RESOLVER}\noptions timeout:1 attempts:1\n")
    services = Path("/run/services")
    services.write_text("hosts: files dns\n")
    for file, instead in ((Path("/etc/resolv.conf"), resolver), (Path("/etc/nsswitch.conf"), services)):
        place = file.resolve()
        if not place.exists():  # behind a link into the /run that is covered up
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        subprocess.run(["mount", "--bind", instead, place], check=True)


def described(protocol: int, packet: bytes, permitted: set[int]) -> str | None:
    """What a packet is, or None when it may be."""
    if protocol == _IPV4:
        kind, head = packet[9], 4 * (packet[0] & 15)
        source, target = packet[12:16], packet[16:20]
    elif protocol == _IPV6:
        kind, head = packet[6], 40
        source, target = packet[8:24], packet[24:40]
    else:
        return f"a frame of protocol {protocol:#06x}"
    to = ipaddress.ip_address(target)
    if kind not in (_TCP, _UDP):
        return f"protocol {kind} to {to}"
    ports = struct.unpack_from("!HH", packet, head)
    homely = str(ipaddress.ip_address(source)) == str(to) == "127.0.0.1"
    if kind == _TCP and homely and permitted.intersection(ports):
        return None
    return f"{'tcp' if kind == _TCP else 'udp'} to {to} port {ports[1]}"


def say(**said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def main() -> None:
    permitted = {int(port) for port in sys.argv[1:]}
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERY_PROTOCOL)) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        close_the_windows()
        say(closed=True)
        while True:
            readable, _, _ = select.select([wire, sys.stdin], [], [])
            if wire in readable:
                packet, (_, protocol, direction, *_rest) = wire.recvfrom(1 << 16)
                if direction != socket.PACKET_OUTGOING:  # each is seen twice: leaving, and arriving
                    continue
                if (attempt := described(protocol, packet, permitted)) is not None:
                    say(attempt=attempt)
            elif not sys.stdin.readline():
                return
            else:  # asked for an account: everything that was tried until now has been told
                _, lost = struct.unpack("II", wire.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
                say(lost=lost)


if __name__ == "__main__":
    main()
