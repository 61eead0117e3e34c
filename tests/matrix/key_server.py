"""What of a homeserver is about keys, answered as a test wants."""

from __future__ import annotations

import json
import secrets
from typing import Any

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.matrix.encryption.stream import SLIDING
from tests.matrix.fake_homeserver import Answer, Request
from tests.synapse import DOMAIN

BOT = f"@chattorbot:{DOMAIN}"


class KeyServer:
    """For `FakeHomeserver.behave`: it takes keys, and gives them to whoever asks. All rooms are encrypted and have the
    same members. With nothing to bring to the bot it is not there, so that nobody asks it in a circle."""

    def __init__(self) -> None:
        self.slides = True
        """Whether it knows simplified sliding sync."""
        self.devices: dict[str, dict[str, JsonObject]] = {}
        """By user and id."""
        self.signing: dict[str, JsonObject] = {}
        """What else is said of users when somebody asks for their devices, by kind."""
        self.one_time_keys: dict[str, dict[str, dict[str, Any]]] = {}
        """By user, device and name."""
        self.members: list[str] = []
        self.to_bring: list[JsonObject] = []
        """Whole answers to the bot's next syncs, but for the place in the stream."""
        self.to_bring_to: dict[str, list[JsonObject]] = {}
        """The same for others than the bot, who are told that there is nothing when there is nothing."""
        self.refused: set[str] = set()
        """Users who may not sync."""
        self.syncs: list[str | None] = []
        """Since when each was asked for."""
        self.sent: list[tuple[str, str, JsonObject]] = []
        """To whom, to which device, and what."""
        self.asked_for: list[str] = []
        """Whose devices were asked for."""
        self._account_data: dict[str, JsonObject] = {}

    def __call__(self, request: Request) -> Answer:
        body = json.loads(request.body) if request.body else {}
        parts = request.path.split("/")[4:]
        match parts:
            case ["keys", "upload"]:
                return self._take(request.query["user_id"], request.query["device_id"], body)
            case ["keys", "query"]:
                self.asked_for += body["device_keys"]
                found = {user: self.devices.get(user, {}) for user in body["device_keys"]}
                return Answer(body={"failures": {}, "device_keys": found, **self.signing})
            case ["keys", "claim"]:
                return Answer(body={"failures": {}, "one_time_keys": self._claimed(body["one_time_keys"])})
            case ["sendToDevice", *_]:
                self.sent += [
                    (user, device, content)
                    for user, devices in body["messages"].items()
                    for device, content in devices.items()
                ]
            case ["user", _, "account_data", name]:
                if request.method == "PUT":
                    self._account_data[name] = body
                known = self._account_data.get(name)
                return Answer(404, {"errcode": "M_NOT_FOUND"}) if known is None else Answer(body=known)
            case ["rooms", _, "state", "m.room.encryption"]:
                return Answer(body={"algorithm": "m.megolm.v1.aes-sha2"})
            case ["rooms", _, "members"]:
                joined = [{"state_key": user, "content": {"membership": "join"}} for user in self.members]
                return Answer(body={"chunk": joined})
            case ["rooms", _, "send", *_]:
                return Answer(body={"event_id": f"${secrets.token_hex(4)}"})
            case []:
                return Answer(body={"unstable_features": {SLIDING: self.slides}})
            case ["sync"]:
                return self._sync(request)
            case [_, "sync"] if self.slides:
                return self._slide(request)
            case [_, "sync"]:
                return Answer(404, {"errcode": "M_UNRECOGNIZED"})
        return Answer()

    def _take(self, user: str, device_id: str, body: JsonObject) -> Answer:
        if (device := body.get("device_keys")) is not None:
            self.devices.setdefault(user, {})[device_id] = device
        self.one_time_keys.setdefault(user, {}).setdefault(device_id, {}).update(body.get("one_time_keys", {}))
        return Answer(body={"one_time_key_counts": {"signed_curve25519": 50}})

    def _claimed(self, wanted: JsonObject) -> JsonObject:
        claimed: JsonObject = {}
        for user, devices in wanted.items():
            for device in devices:
                if left := self.one_time_keys.get(user, {}).get(device):
                    claimed.setdefault(user, {})[device] = dict([left.popitem()])
        return claimed

    def _sync(self, request: Request) -> Answer:
        if (user := request.query["user_id"]) in self.refused:
            return Answer(403, {"errcode": "M_USER_DEACTIVATED"})
        if user != BOT:
            brought = self.to_bring_to.get(user)
            return Answer(body={**(brought.pop(0) if brought else {}), "next_batch": secrets.token_hex(4)})
        news = self._bring(request.query.get("since"))
        return Answer(503) if news is None else Answer(body={**news, "next_batch": str(len(self.syncs))})

    def _slide(self, request: Request) -> Answer:
        news = self._bring(request.query.get("pos"))
        if news is None:
            return Answer(503)
        place = str(len(self.syncs))
        to_device = {**news.pop("to_device", {"events": []}), "next_batch": place}
        return Answer(body={"pos": place, "extensions": {"to_device": to_device, "e2ee": news}})

    def _bring(self, since: str | None) -> JsonObject | None:
        self.syncs.append(since)
        if len(self.syncs) > 1 and not self.to_bring:
            return None
        plenty = {"device_one_time_keys_count": {"signed_curve25519": 50}}
        return {**plenty, **(self.to_bring.pop(0) if self.to_bring else {})}
