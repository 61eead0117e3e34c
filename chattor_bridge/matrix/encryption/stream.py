"""What the homeserver brings to a device beside events: keys and requests, and whose devices are others now.

Simplified sliding sync (MSC4186) can be asked for that and nothing else. `/sync` cannot: it looks through every room in
which something happened, even if none is wanted, each time a message wakes a request that waits.
"""

from __future__ import annotations

import json

from mautrix.api import Method, Path

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.matrix.encryption.device import DeviceApi

SYNC = "sync"
"""Kind of the record that says up to where a device's stream was read."""

SLIDING = "org.matrix.simplified_msc3575"
"""What a homeserver calls simplified sliding sync, among what it can do and in its path."""

_NOTHING: JsonObject = {"types": []}

KEYS_ONLY = json.dumps(
    {
        "room": {
            "rooms": [],
            "timeline": {**_NOTHING, "limit": 1},
            "state": _NOTHING,
            "ephemeral": _NOTHING,
            "account_data": _NOTHING,
        },
        "presence": _NOTHING,
        "account_data": _NOTHING,
    },
    separators=(",", ":"),
)
"""The filter of a sync that brings nothing but what concerns devices. That no room is wanted says all there is to say,
but of a room in which something happened Synapse then reads a hundred events, in search of one that is wanted, unless
none of any type is."""


async def slides(api: DeviceApi) -> bool:
    """Whether the homeserver knows simplified sliding sync. Raises: HomeserverUnavailable, HomeserverRefused."""
    told = await api.ask(Method.GET, Path.versions)
    return bool(told.get("unstable_features", {}).get(SLIDING))


async def slide(api: DeviceApi, place: JsonObject | None, timeout: int) -> tuple[JsonObject, JsonObject]:
    """What has come since ``place``, and the place for the next request; nothing, after ``timeout`` seconds.

    A place is two, of what is brought and of whose devices are others. Without the first, nothing is waited for, and
    all is brought that the homeserver was not told to forget.
    Raises: HomeserverUnavailable, HomeserverRefused.
    """
    to_device: JsonObject = {"enabled": True}
    query: dict[str, str] = {}
    if place is not None:
        query["pos"] = place["pos"]
        if "to_device" in place:
            to_device["since"] = place["to_device"]
            query["timeout"] = str(timeout * 1000)
    extensions = {"to_device": to_device, "e2ee": {"enabled": True}}
    answer = await api.ask(Method.POST, Path.unstable[SLIDING].sync, {"extensions": extensions}, query)
    brought = answer["extensions"]
    news = {"to_device": brought["to_device"], **brought["e2ee"]}
    return news, {"pos": answer["pos"], "to_device": brought["to_device"]["next_batch"]}


async def sync(api: DeviceApi, place: JsonObject | None, timeout: int) -> tuple[JsonObject, JsonObject]:
    """The same by `/sync`. Raises: HomeserverUnavailable, HomeserverRefused."""
    query = {"filter": KEYS_ONLY, "timeout": str(timeout * 1000), "set_presence": "offline"}
    if place is not None:
        query["since"] = place["since"]
    answer = await api.ask(Method.GET, Path.v3.sync, query_params=query)
    return answer, {"since": answer["next_batch"]}
