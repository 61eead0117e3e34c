"""What the Matrix side is told at its construction."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixSettings:
    """Taken from the configuration and the registration.

    ``address`` is the homeserver's base URL, ``domain`` its server name. ``proxy`` is the URL of a SOCKS or HTTP proxy
    through which the homeserver is reached (it may be an onion), or ``None``. ``listen_port`` 0 means any free one.
    ``encrypt_rooms`` says whether rooms we open are encrypted, ``only_cross_signed`` whether only devices that their
    owner signed can read in an encrypted one.
    """

    address: str
    domain: str
    appservice_id: str
    bot_localpart: str
    as_token: str = field(repr=False)
    hs_token: str = field(repr=False)
    listen_host: str = "127.0.0.1"
    listen_port: int
    proxy: str | None = field(default=None, repr=False)
    encrypt_rooms: bool = True
    only_cross_signed: bool = False
