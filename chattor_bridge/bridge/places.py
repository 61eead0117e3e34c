"""Places: Matrix's ``m.location`` with its geo URIs (RFC 5870), and MSC3488 beside it, from and to `Location`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from chattor_bridge.bridge.ghosts import MARK_KEY
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import UsageError
from chattor_bridge.protocol.events import Location
from chattor_bridge.protocol.limits import MAX_ACCURACY, MAX_LATITUDE, MAX_LONGITUDE, MAX_PLACE
from chattor_bridge.wording import MICRO

_NUMBER = r"-?[0-9]{1,3}(?:\.[0-9]{1,20})?"
_GEO = re.compile(
    rf"geo:({_NUMBER}),({_NUMBER})(?:,-?[0-9]{{1,8}}(?:\.[0-9]{{1,20}})?)?((?:;[A-Za-z0-9-]+(?:=[^;]*)?)*)",
    re.IGNORECASE | re.ASCII,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

NOWHERE = "it names no place that I can read."


def place_in(body: JsonObject) -> tuple[Location, str]:
    """The place a location message names; and what it is called, where that is too long to go with it.

    Raises: UsageError.
    """
    extended: Any = next(
        (body[key] for key in ("m.location", "org.matrix.msc3488.location") if isinstance(body.get(key), dict)), {}
    )
    uri = body.get("geo_uri") or extended.get("uri")
    found = _GEO.fullmatch(uri) if isinstance(uri, str) else None
    if found is None:
        raise UsageError(NOWHERE)
    parameters = dict(one.lower().partition("=")[::2] for one in found[3].split(";")[1:])
    latitude, longitude = (int((Decimal(degrees) * MICRO).to_integral_value()) for degrees in found.group(1, 2))
    if abs(latitude) > MAX_LATITUDE or abs(longitude) > MAX_LONGITUDE or parameters.get("crs", "wgs84") != "wgs84":
        raise UsageError(NOWHERE)
    name = _called(body, extended)
    too_long = len(name.encode()) > MAX_PLACE
    place = Location(latitude, longitude, _metres(parameters.get("u")), "" if too_long else name)
    return place, name if too_long else ""


def _called(body: JsonObject, extended: JsonObject) -> str:
    name = extended.get("description")
    if not isinstance(name, str):
        name = body.get("body")
        # clients that have no name for a place write its coordinates there
        if not isinstance(name, str) or "geo:" in name or extended:
            return ""
    return _CONTROL.sub(" ", name).strip()


def _metres(uncertainty: str | None) -> int | None:
    if uncertainty is None or not re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,20})?", uncertainty, re.ASCII):
        return None
    return min(int(Decimal(uncertainty).to_integral_value()), MAX_ACCURACY)


def geo_uri(place: Location) -> str:
    accuracy = "" if place.accuracy is None else f";u={place.accuracy}"
    return f"geo:{_degrees(place.latitude)},{_degrees(place.longitude)}{accuracy}"


def in_words(place: Location) -> str:
    """One line for a person."""
    where = f"{_degrees(place.latitude)}, {_degrees(place.longitude)}"
    accuracy = "" if place.accuracy is None else f" ± {place.accuracy} m"
    return f"{place.name} ({where}{accuracy})" if place.name else f"{where}{accuracy}"


def location(place: Location, mark: str) -> JsonObject:
    """The Matrix content that shows a place."""
    uri, words = geo_uri(place), in_words(place)
    extended = {"uri": uri, **({"description": place.name} if place.name else {})}
    return {
        "msgtype": "m.location",
        "body": f"📍 {words} {uri}",
        "geo_uri": uri,
        "m.location": extended,
        "org.matrix.msc3488.location": extended,
        "org.matrix.msc3488.asset": {"type": "m.pin"},
        "org.matrix.msc1767.text": f"📍 {words} {uri}",
        "m.mentions": {},
        MARK_KEY: mark,
    }


def _degrees(micro: int) -> str:
    sign, size = "-" if micro < 0 else "", abs(micro)
    return f"{sign}{size // MICRO}.{size % MICRO:06}".rstrip("0").rstrip(".")
