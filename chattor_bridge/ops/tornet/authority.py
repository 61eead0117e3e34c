"""The keys of a directory authority, made with the programs of the tor package."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.errors import TorUnusable
from chattor_bridge.transport.tor.binary import find_program

KEY_TIMEOUT = 60.0
"""Seconds for making the keys of one authority: RSA keys of 3072 bits, some seconds on a slow machine."""

_ANY_AUTHORITY = f"nobody orport=1 v3ident={'0' * 40} 127.0.0.1:1 {'0' * 40}"
"""tor refuses to compute a fingerprint in a test network without an authority; it contacts nobody for it."""


@dataclass(frozen=True, slots=True)
class Authority:
    """One directory authority: where it listens and its two fingerprints, in hexadecimal."""

    nickname: str
    address: str
    or_port: int
    dir_port: int
    v3_identity: str
    fingerprint: str

    @property
    def torrc_line(self) -> str:
        """What makes a tor trust it."""
        return (
            f"DirAuthority {self.nickname} orport={self.or_port} no-v2 v3ident={self.v3_identity} "
            f"{self.address}:{self.dir_port} {self.fingerprint}"
        )


async def make_authority(
    program: Path, directory: Path, *, nickname: str, address: str, or_port: int, dir_port: int
) -> Authority:
    """Make the keys of an authority in ``directory``, its data directory.

    Raises: TorUnusable when the programs of the tor package do not do it.
    """
    keys = directory / "keys"
    keys.mkdir(mode=0o700, parents=True)
    gencert = find_program("tor-gencert")
    # fmt: off
    certify: list[str | Path] = [
        gencert, "--create-identity-key", "-m", "12", "-a", f"{address}:{dir_port}", "--passphrase-fd", "0",
        "-i", keys / "authority_identity_key", "-s", keys / "authority_signing_key",
        "-c", keys / "authority_certificate",
    ]
    fingerprint: list[str | Path] = [
        program, "--defaults-torrc", "/dev/null", "-f", "/dev/null", "--ignore-missing-torrc", "--hush",
        "--list-fingerprint", "--DataDirectory", directory, "--ORPort", f"{address}:{or_port}",
        "--Nickname", nickname, "--TestingTorNetwork", "1", "--Address", address, "--DirAuthority", _ANY_AUTHORITY,
    ]
    # fmt: on
    _, said = await asyncio.gather(_run(certify), _run(fingerprint))
    return Authority(
        nickname=nickname,
        address=address,
        or_port=or_port,
        dir_port=dir_port,
        v3_identity=_identity(keys / "authority_certificate"),
        fingerprint=said.strip().splitlines()[-1].split(" ", 1)[1].replace(" ", ""),
    )


def _identity(certificate: Path) -> str:
    for line in certificate.read_text().splitlines():
        if line.startswith("fingerprint "):
            return line.split()[1]
    raise TorUnusable("tor-gencert made a certificate without a fingerprint")


async def _run(command: list[str | Path]) -> str:
    """Run a program with an empty passphrase on its input; what it wrote."""
    running = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complained = await asyncio.wait_for(running.communicate(b"\n"), KEY_TIMEOUT)
    except BaseException as error:
        running.kill()
        await running.wait()
        if isinstance(error, TimeoutError):
            raise TorUnusable(f"{command[0]} does not finish") from error
        raise
    if running.returncode != 0:
        reason = (complained or said).decode(errors="replace").strip().splitlines()[-1:]
        raise TorUnusable(f"{command[0]} failed: {' '.join(reason)}")
    return said.decode()
