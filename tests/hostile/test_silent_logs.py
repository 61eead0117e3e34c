"""A whole conversation with everything logged, and its failures: nothing of it stands in any line.

The lines are looked at twice: as both programs write them, and our own as they were before what looks like a secret is
blotted out, with whole tracebacks.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping

import pytest

from chattor_bridge.bridge.records import Portal
from chattor_bridge.errors import HomeserverUnavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.logs import BLOT, PACKAGE, set_up_logging
from chattor_bridge.matrix import text
from chattor_bridge.node.happenings import FileSent
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.filing import fetched, offer, send_file, until
from tests.bridge.town import Town, code_in
from tests.hostile.attacker import secrets_of
from tests.peer import Peer

SAID = ["planted: from Matrix to Chattor", "planted: what the homeserver refuses", "planted: what cannot be converted"]

NAMES = ["planted from Matrix.txt", "planted from Chattor.txt", "planted caption", "planted.example"]
"""Of files, and what is said of them."""

CONTROL = "whoever says this is heard"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the program writes at its loudest."""
    root, package = logging.getLogger(), logging.getLogger(PACKAGE)
    before = (list(root.handlers), root.level, package.level)
    stream = io.StringIO()
    set_up_logging("DEBUG", stream=stream)
    yield stream
    root.handlers[:], root.level, package.level = before


@pytest.fixture
def raw(written: io.StringIO) -> Iterator[io.StringIO]:
    """What this project said, before anything was blotted out or left out."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    logging.getLogger(PACKAGE).addHandler(handler)
    yield stream
    logging.getLogger(PACKAGE).removeHandler(handler)


async def test_a_conversation_and_its_failures_leave_nothing_in_any_line(
    written: io.StringIO, raw: io.StringIO, town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await town.befriend(friend)
    portal = await town.portal(room)
    management = next(each for each in town.homeserver.rooms.values() if each is not room)
    code = code_in(await town.ask(management, "code new planted-label"))
    await town.say(room, SAID[0])
    await friend.heard(1, WAIT)

    peer_id = await friend.friend(WAIT)
    _refuse_once(town, portal)
    await friend.send(peer_id, SAID[1])
    await town.homeserver.until(lambda: any("could not be shown" in body for body in management.bodies(BOT)))
    _choke_once(monkeypatch)
    await friend.send(peer_id, SAID[2])
    await town.homeserver.until(lambda: SAID[2] in room.bodies(portal.ghost))
    keys = await _files_go_wrong(town, room, friend)
    assert keys
    assert "set action" in written.getvalue()
    assert "a lane rests" in written.getvalue()

    logging.getLogger(f"{PACKAGE}.node").info(CONTROL)
    forbidden = [*SAID, *NAMES, *keys, "planted-label", code, code.removeprefix("chattor:")]
    forbidden += await secrets_of(town.store, portal.node_id) + await secrets_of(friend.store, friend.node.node_id)
    assert len(forbidden) > 40
    for lines in (written.getvalue(), raw.getvalue()):
        assert CONTROL in lines
        assert [secret for secret in forbidden if secret in lines] == []
        assert BLOT not in lines  # nothing even had to be hidden


async def _files_go_wrong(town: Town, room: Room, friend: Peer) -> list[str]:
    """One of each side, with trouble on the way; the secrets of where they lie."""
    town.homeserver._put_state(room, BOT, "m.room.encryption", "", {"algorithm": "m.megolm.v1.aes-sha2"})
    town.homeserver.breaks = 3
    await send_file(town, room, b"data", body="planted caption", filename=NAMES[0])
    await fetched(friend)
    await send_file(town, room, b"data", body=NAMES[0], file={"url": "mxc://planted.example/planted"})
    uploads = 0

    def stumble(method: str, _user: MatrixUserId, _room: str) -> str | None:
        nonlocal uploads
        uploads += method == "upload piece"
        if method == "upload piece" and uploads == 1:
            raise HomeserverUnavailable("it is down")
        return "M_UNKNOWN" if method == "send" and uploads == 2 else None

    town.homeserver.refusals.append(stumble)
    await offer(friend, b"data", NAMES[1], caption="planted caption")
    await until(friend, FileSent)
    await town.idle()
    town.homeserver.refusals.remove(stumble)
    contents = [event["content"] for event in room.timeline]
    return [each["file"]["key"]["k"] for each in contents if "key" in each.get("file", {})]


def _refuse_once(town: Town, portal: Portal) -> None:
    refused: list[str] = []

    def refuse(method: str, user: MatrixUserId, room_id: str) -> str | None:
        if method == "send" and user == portal.ghost and not refused:
            refused.append(room_id)
            return "M_TOO_LARGE"
        return None

    town.homeserver.refusals.append(refuse)


def _choke_once(monkeypatch: pytest.MonkeyPatch) -> None:
    convert, choked = text.markdown_to_html, False

    def choke(markdown: str, *mentions: Mapping[str, str]) -> str | None:
        nonlocal choked
        if not choked and SAID[2] in markdown:
            choked = True
            raise ValueError(f"cannot make sense of {markdown!r}")
        return convert(markdown, *mentions)

    monkeypatch.setattr(text, "markdown_to_html", choke)
