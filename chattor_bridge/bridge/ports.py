"""What the bridge needs from outside: a homeserver, and a way to convert text. What it keeps is in `store_ports`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from chattor_bridge.bridge.attachment import Attachment, Download, Picture, Upload
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Transaction

MOST_READ_BACK = 100
"""Events read back in a room to which somebody of ours came late: more than anybody says before a friend answers."""


class Person(Protocol):
    """Somebody at the homeserver who gave us an access token. Methods raise what those of `Homeserver` do;
    HomeserverRefused has the error code ``M_UNKNOWN_TOKEN`` when the token is not valid (any more)."""

    async def whoami(self) -> MatrixUserId: ...
    async def joined_rooms(self) -> list[MatrixRoomId]: ...
    async def join(self, room_id: MatrixRoomId) -> None: ...
    async def account_data(self, user: MatrixUserId, kind: str) -> JsonObject | None:
        """Their own of this kind; ``None`` when there is none."""

    async def set_account_data(self, user: MatrixUserId, kind: str, content: JsonObject) -> None: ...


class Homeserver(Protocol):
    """The Matrix side, as the appservice may use it.

    Every method raises HomeserverUnavailable when it may work later (down, 5xx, 429 beyond patience) and
    HomeserverRefused when it never will. ``user`` is the bot or one of our ghosts.
    """

    @property
    def domain(self) -> str: ...
    @property
    def bot(self) -> MatrixUserId: ...

    async def ensure_user(self, user: MatrixUserId, display_name: str) -> None:
        """Register if needed, make its device, set its display name. Idempotent, cached."""

    async def create_room(
        self,
        user: MatrixUserId,
        *,
        name: str | None,
        topic: str | None,
        invite: Sequence[MatrixUserId],
        is_direct: bool,
        initial_state: Sequence[JsonObject] = (),
        power: JsonObject | None = None,
        is_space: bool = False,
    ) -> MatrixRoomId:
        """A private room (invite only, no alias, not in any directory), encrypted from end to end if it was so
        configured and is no space. ``power`` is what ``m.room.power_levels`` says; its creator is added where the
        room's version has it there. Not idempotent: see `joined_rooms`."""

    def person(self, token: str) -> Person:
        """Whoever this access token belongs to."""

    async def joined_rooms(self, user: MatrixUserId) -> list[MatrixRoomId]: ...
    async def joined_members(self, user: MatrixUserId, room_id: MatrixRoomId) -> list[MatrixUserId]: ...
    async def get_state(
        self, user: MatrixUserId, room_id: MatrixRoomId, event_type: str, state_key: str = ""
    ) -> JsonObject | None:
        """The content, ``None`` when the room has no such state."""

    async def room_state(self, user: MatrixUserId, room_id: MatrixRoomId) -> list[JsonObject]:
        """All state events as they are now, each with ``type``, ``state_key``, ``sender`` and ``content``."""

    async def set_state(
        self, user: MatrixUserId, room_id: MatrixRoomId, event_type: str, content: JsonObject, state_key: str = ""
    ) -> MatrixEventId: ...
    async def invite(self, user: MatrixUserId, room_id: MatrixRoomId, invitee: MatrixUserId) -> None:
        """Inviting somebody who is there already succeeds."""

    async def join(self, user: MatrixUserId, room_id: MatrixRoomId) -> None: ...
    async def leave(self, user: MatrixUserId, room_id: MatrixRoomId, reason: str = "") -> None:
        """Leave, or turn an invitation down; ``reason`` is for whoever is in the room."""

    async def send(
        self, user: MatrixUserId, room_id: MatrixRoomId, event_type: str, content: JsonObject, txn_id: str
    ) -> MatrixEventId:
        """Send under a device and the given transaction id: the same call again within a day returns the same event,
        across restarts of the homeserver too. In an encrypted room it is encrypted, all but `MARK_KEY`."""

    def opened(
        self, event: JsonObject, received_at: int
    ) -> AbstractAsyncContextManager[tuple[JsonObject, Callable[[Transaction], Awaitable[None]]]]:
        """The event inside an ``m.room.encrypted`` one that came at ``received_at``, and what must run in the
        transaction that keeps it: the same event cannot be opened again after that.

        Raises besides, on entering: KeyMissing, Undecryptable, DatabaseUnavailable."""

    async def has_key(self, event: JsonObject) -> bool:
        """Whether the key of an ``m.room.encrypted`` event has come by now. Raises besides: DatabaseUnavailable."""

    async def said_by(self, user: MatrixUserId, room_id: MatrixRoomId, sender: MatrixUserId) -> list[JsonObject]:
        """The newest `MOST_READ_BACK` message-like events of ``sender`` that ``user`` may see in the room, oldest
        first."""

    async def find_sent(
        self, user: MatrixUserId, room_id: MatrixRoomId, key: str, value: str, since: int
    ) -> MatrixEventId | None:
        """Search ``user``'s own messages in the room, newest first and not older than ``since`` (seconds), for one
        whose content has ``key`` set to ``value``: for rows older than the homeserver's memory of transaction ids."""

    async def redact(self, user: MatrixUserId, room_id: MatrixRoomId, event_id: MatrixEventId, txn_id: str) -> None: ...
    async def mark_read(self, user: MatrixUserId, room_id: MatrixRoomId, event_id: MatrixEventId) -> None:
        """A public read receipt."""

    async def set_typing(self, user: MatrixUserId, room_id: MatrixRoomId, seconds: int) -> None:
        """Show that ``user`` types, for so long unless it is said again; 0 for no longer."""

    async def set_presence(self, user: MatrixUserId, state: str) -> None:
        """``online``, ``unavailable`` or ``offline``. Without effect where the homeserver shows no presence."""

    async def presence_of(self, user: MatrixUserId) -> str:
        """What somebody who shares a room with the bot is now, in the words of `set_presence` or others."""

    async def missed(self, since: str | None) -> tuple[list[JsonObject], list[JsonObject], str]:
        """What happened in the rooms the bot is in after ``since``, the last value of an earlier call: events, in the
        order of each room, and the newest public read receipt of each user in each room, ours left out, as
        ``m.receipt`` events. One that the homeserver does not know any more is as good as ``None``, with which there
        are no events. Left out are those from before the bot joined, and all but the newest where there are many."""

    async def bring_again(self, room_id: MatrixRoomId, event_id: MatrixEventId) -> None:
        """Have the homeserver bring what it left behind, the oldest first: this newest event of it, and what is older.
        Without effect while it repeats something anyhow; nobody sees it. ``event_id`` has to be newer than that of any
        earlier call for the room."""

    async def upload_limit(self) -> int | None:
        """Bytes the homeserver takes of one file, ``None`` when it does not tell."""

    def download(self, attachment: Attachment, *, at: int = 0, at_most: int) -> AbstractAsyncContextManager[Download]:
        """The file from byte ``at`` on, as it comes, decrypted if it was encrypted. One that is longer than ``at_most``
        bytes is refused (``M_TOO_LARGE``).

        Reading its pieces raises as well. Of an encrypted file read from its start the last piece comes only when all
        of it has proved to be what was encrypted; otherwise reading raises Undecryptable, and *everything* it gave
        before is void. What is read from elsewhere proves nothing."""

    async def thumbnail(
        self, attachment: Attachment, width: int, height: int, *, crop: bool, at_most: int
    ) -> Picture | None:
        """A small picture the homeserver made of the file, about as large; ``None`` when there is none, when the file
        is encrypted, or when it has more than ``at_most`` bytes."""

    async def attach(self, user: MatrixUserId, room_id: MatrixRoomId, upload: Upload) -> Attachment:
        """Upload something to be shown in this room, encrypted where the room is. Not idempotent: every call leaves
        another file there. A file larger than `upload_limit` is refused (``M_TOO_LARGE``) before it is read.

        Raises besides: whatever reading the file does."""

    async def profile_picture(self, user: MatrixUserId) -> Attachment | None:
        """What this person has chosen for its picture; ``None`` for none."""

    async def picture_address(self, user: MatrixUserId, picture: Picture, shown: str | None) -> str:
        """The ``mxc://`` address of a picture for the state of a room, which nothing encrypts: ``shown`` (what stands
        there now) when that is where it lies, else the address of a new upload by ``user``."""


class TextConversion(Protocol):
    """Between Matrix's HTML and Chattor's CommonMark. A module with these two functions will do."""

    def html_to_markdown(self, source: str, names: Mapping[str, str] = ..., /) -> str:
        """Without the quotation of an answered message (``mx-reply``). Where one of the Matrix users in ``names`` is
        mentioned, ``@`` and the name given there stand."""

    def markdown_to_html(self, markdown: str, mentions: Mapping[str, str] = ..., /) -> str | None:
        """``None`` when there is nothing in the text but words and CommonMark's escapes. Where ``@`` and one of the
        names in ``mentions`` stand, the Matrix user given there is mentioned."""
