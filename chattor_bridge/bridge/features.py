"""What a portal can carry, said in the room for clients that offer nothing that would not arrive.

The state event is Beeper's ``com.beeper.room_features``. Whoever teaches the bridge to carry something more says so
here: `tests/bridge/test_features.py` holds this table against what `chattor_bridge.bridge.speech.portal` refuses.
"""

from __future__ import annotations

from typing import Final

from chattor_bridge.bridge.records import JsonObject

ROOM_FEATURES: Final = "com.beeper.room_features"

PARTLY, FULLY = 1, 2
"""Levels: sent in another form; sent as it is."""

_ANY_FILE: Final[JsonObject] = {"mime_types": {"*/*": FULLY}, "caption": FULLY}
_VOICE: Final = "org.matrix.msc3245.voice"

FEATURES: Final[JsonObject] = {
    "formatting": {
        "bold": FULLY,
        "italic": FULLY,
        "strikethrough": FULLY,
        "inline_code": FULLY,
        "code_block": FULLY,
        "blockquote": FULLY,
        "inline_link": FULLY,
        "unordered_list": FULLY,
        "ordered_list": FULLY,
        "headers": FULLY,
        "horizontal_line": FULLY,
        "spoiler": FULLY,
        "user_link": FULLY,
    },
    "file": dict.fromkeys(("m.image", "m.video", "m.audio", "m.file", "m.sticker", _VOICE), _ANY_FILE),
    "state": {},
    "member_actions": {"invite": PARTLY, "kick": PARTLY, "leave": FULLY},
    "location_message": FULLY,
    "poll": FULLY,
    "thread": FULLY,
    "reply": FULLY,
    "edit": FULLY,
    "delete": FULLY,
    "reaction": FULLY,
}
