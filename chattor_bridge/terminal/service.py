"""Every operation of the control socket, by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from chattor_bridge.errors import MalformedData
from chattor_bridge.terminal.bell import Bell, Changed
from chattor_bridge.terminal.carrying import Carrying
from chattor_bridge.terminal.codes import Codes
from chattor_bridge.terminal.control import Answer, Request
from chattor_bridge.terminal.conversation import Conversation
from chattor_bridge.terminal.filing import Filing
from chattor_bridge.terminal.friends import Friends
from chattor_bridge.terminal.identity import Identity
from chattor_bridge.terminal.pairing import Pairing
from chattor_bridge.terminal.person import PersonAnswers
from chattor_bridge.terminal.relating import Relating
from chattor_bridge.terminal.watching import Watching

_CHANGES = {
    **dict.fromkeys(("new_code", "park_code", "rotate_code", "retire_code"), (Changed.CODES,)),
    **dict.fromkeys(("add", "accept", "ignore", "block", "unblock"), (Changed.REQUESTS, Changed.CONTACTS)),
    **dict.fromkeys(("forget", "merge", "retire", "rename", "verify"), (Changed.CONTACTS,)),
    **dict.fromkeys(("privacy", "mute", "note", "disappearing"), (Changed.CONTACTS,)),
    "profile": (Changed.STATUS,),
    "carry": (Changed.CONTACTS,),
}
"""What an operation may have changed without the node's telling so: for those who watch to ask for anew."""


_CHANGED_BY = {"verify": "what", "profile": "name", "privacy": "what", "carry": "what"}
"""The argument without which these operations only ask."""


class Service:
    """Answers requests; `ControlServer` carries them."""

    def __init__(
        self,
        codes: Codes,
        friends: Friends,
        identity: Identity,
        person: PersonAnswers,
        conversation: Conversation,
        relating: Relating,
        filing: Filing,
        carrying: Carrying,
        pairing: Pairing,
        watching: Watching,
        bell: Bell,
    ) -> None:
        self._bell = bell
        self._plain = {
            "codes": codes.codes,
            "new_code": codes.new_code,
            "park_code": codes.park_code,
            "rotate_code": codes.rotate_code,
            "retire_code": codes.retire_code,
            "add": codes.add,
            "requests": codes.requests,
            "accept": codes.accept,
            "ignore": codes.ignore,
            "block": friends.block,
            "unblock": friends.unblock,
            "whom": friends.whom,
            "forget": friends.forget,
            "merge": friends.merge,
            "retire": friends.retire,
            "contacts": friends.contacts,
            "rename": friends.rename,
            "resync": friends.resync,
            "verify": friends.verify,
            "profile": identity.profile,
            "avatar": friends.avatar,
            "status": identity.status,
            "privacy": person.privacy,
            "mute": person.mute,
            "note": person.note,
            "disappearing": person.disappearing,
            "typing": person.typing,
            "presence": person.presence,
            "history": conversation.history,
            "read": conversation.read,
            "edit": relating.edit,
            "delete": relating.delete,
            "react": relating.react,
            "poll": relating.poll,
            "vote": relating.vote,
            "end_poll": relating.end_poll,
            "place": relating.place,
            "files": filing.files,
            "file_accept": filing.accept,
            "file_cancel": filing.cancel,
            "carry": carrying.carry,
        }
        self._waiting = {
            "send": conversation.send,
            "follow": conversation.follow,
            "watch": watching.watch,
            "file_send": filing.send,
            "file_save": filing.save,
            "pair": pairing.pair,
        }

    def answer(self, request: Request, gone: asyncio.Event) -> AsyncGenerator[Answer, None]:
        """The answer to one request, part by part. Raises: MalformedData when there is no such operation."""
        if request.operation in self._plain:
            return self._told(request)
        if request.operation in self._waiting:
            return self._waiting[request.operation](request.arguments, gone)
        raise MalformedData("no such operation")

    async def _told(self, request: Request) -> AsyncGenerator[Answer, None]:
        async with aclosing(self._plain[request.operation](request.arguments)) as answers:
            async for answer in answers:
                yield answer
        only_asks = request.operation in _CHANGED_BY and not request.arguments.get(_CHANGED_BY[request.operation])
        if not only_asks:
            self._bell.ring(*_CHANGES.get(request.operation, ()))
