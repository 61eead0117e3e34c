"""What comes from people, from the homeserver and from files: text in both forms, requests, configuration."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path

from bs4 import BeautifulSoup
from python_socks import ProxyError

from chattor_bridge import registration
from chattor_bridge.bot import codes, contacts, requests
from chattor_bridge.bot.parser import Commands
from chattor_bridge.bridge import actions, polls
from chattor_bridge.bridge.attachment import Attachment, Picture
from chattor_bridge.bridge.content import plain, reply_target, spoken
from chattor_bridge.bridge.files.content import described, file_name
from chattor_bridge.bridge.files.offering import _measured
from chattor_bridge.config import load_config
from chattor_bridge.durations import read_duration
from chattor_bridge.errors import (
    ChattorError,
    ConfigError,
    DatabaseUnusable,
    HomeserverRefused,
    TorUnusable,
    Unavailable,
    Undecryptable,
    UsageError,
    WrongStoreKey,
)
from chattor_bridge.ids import EventId
from chattor_bridge.matrix import text as matrix_text
from chattor_bridge.matrix.answers import LONGEST_RETRY_AFTER, HomeserverTrouble, failure
from chattor_bridge.matrix.answers import _object as answer_object
from chattor_bridge.matrix.commonmark import LINK
from chattor_bridge.matrix.encryption.hearing import _inner as inner_event
from chattor_bridge.matrix.parsing import parse_object
from chattor_bridge.matrix.receipts import foreign_receipts
from chattor_bridge.matrix.text import html_to_markdown, markdown_to_html
from chattor_bridge.node.pictures import picture_type
from chattor_bridge.packaged import packaged_directory
from chattor_bridge.protocol.events import Event, decode_event, encode_event
from chattor_bridge.storage import StoreKey
from chattor_bridge.storage.sealing import Sealer, identity_from_key_check
from chattor_bridge.terminal.control import (
    Done,
    Item,
    Request,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from chattor_bridge.terminal.output import neutralised, neutralised_lines
from chattor_bridge.terminal.settings import load_settings
from chattor_bridge.terminal.tui.commonmark import in_lines, plain_lines
from chattor_bridge.terminal.tui.ink import DARK
from chattor_bridge.transport.tor.listeners import choose_socks
from chattor_bridge.transport.tor.process import Bootstrap
from chattor_bridge.transport.tor.socks import _translated
from chattor_bridge.typed_code import split_code
from tests.fuzz.target import Target

WIDTH = 40
"""Columns of a screen."""

_HARMLESS = {
    *("a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre"),
    *("span", "strong", "ul"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}, "span": {"data-mx-spoiler"}}


def _html(data: bytes) -> None:
    text = html_to_markdown(data.decode(errors="replace"))
    markdown_to_html(text)


def _markdown(data: bytes) -> None:
    """Nothing comes out that could run or load anything at a reader's."""
    rendered = markdown_to_html(data.decode(errors="replace"))
    if rendered is not None:
        for tag in BeautifulSoup(rendered, "html.parser").find_all(True):
            assert tag.name in _HARMLESS
            assert set(tag.attrs) <= _ATTRIBUTES.get(tag.name, set())
            assert LINK.match(str(tag.get("href", "https://")))
        html_to_markdown(rendered)


def _terminal(data: bytes) -> None:
    shown = neutralised_lines(data.decode(errors="replace"))
    assert not {character for character in shown if character < " " and character != "\n"}


def _screen(data: bytes) -> None:
    """A friend's text as the lines of a screen: in bounds, and nothing that a terminal obeys."""
    text = data.decode(errors="replace")
    for lines in (in_lines(text, WIDTH, DARK), in_lines(text, WIDTH, DARK, revealed=False), plain_lines(text, WIDTH)):
        for line in lines:
            assert line.plain == neutralised(line.plain)


def _request(data: bytes) -> None:
    with suppress(ChattorError):
        request = decode_request(data)
        assert decode_request(encode_request(request)) == request
    with suppress(ChattorError):
        answer = decode_answer(data)
        assert decode_answer(encode_answer(answer)) == answer


def _transaction(data: bytes) -> None:
    with suppress(ValueError):
        repr(parse_object(data)).encode()


def _decrypted(data: bytes) -> None:
    """What was inside an encrypted event: whoever has the key can have put anything there."""
    outer = {"event_id": "$x", "room_id": "!r", "sender": "@a:b", "content": {"m.relates_to": {"rel_type": "m.thread"}}}
    with suppress(Undecryptable):
        event = inner_event(outer, data.decode(errors="replace"))
        assert (event["room_id"], event["sender"], event["event_id"]) == ("!r", "@a:b", "$x")
        assert "state_key" not in event
        repr(event).encode()


def _answer(data: bytes) -> None:
    """What a homeserver, or whatever stands before it, answers: trouble or a refusal, and no endless wait."""
    for status in (200, 404, 429):
        error = failure(status, {"Retry-After": data[:8].decode(errors="replace")} if data[:1] < b"a" else {}, data)
        assert isinstance(error, HomeserverTrouble | HomeserverRefused)
        wait = error.retry_after if isinstance(error, HomeserverTrouble) else None
        assert wait is None or 0 <= wait <= LONGEST_RETRY_AFTER
    with suppress(HomeserverTrouble):
        repr(answer_object(data, 200)).encode()


def _poll(data: bytes) -> None:
    """A poll of Matrix, and an answer to it."""
    with suppress(ValueError):
        content = parse_object(data)
        for kind in polls.STARTS:
            with suppress(UsageError):
                poll, detail = polls.poll_in(kind, content)
                assert not polls.is_void(detail, polls.choices_in(detail, content))
                assert decode_event(encode_event(Event(EventId(bytes(16)), 0, poll))).body == poll


def _tor_says(data: bytes) -> None:
    """Lines of a tor that is not ours."""
    text = data.decode(errors="replace")
    Bootstrap.parse(text)
    first, *rest = text.split("\n")
    with suppress(TorUnusable):
        choose_socks(first, rest, ("127.0.0.1", 9051))
    assert isinstance(_translated(ProxyError(text)), Unavailable)


def _picture(data: bytes) -> None:
    """A picture from a homeserver, and one of a friend."""
    if (kind := picture_type(data)) is not None:
        measured = _measured(Picture(data, kind))
        assert measured is None or (measured.width > 0 and measured.height > 0)


_SEALER = Sealer(StoreKey(bytes(32)), bytes(16))


def _sealed(data: bytes) -> None:
    """A value of a database that somebody else has written to: only what was sealed opens, and the error is one."""
    for at, table in ((1, "contacts"), (2, "outbox")):
        with suppress(DatabaseUnusable):
            opened = _SEALER.open(data, table, "session", at)
            raise AssertionError(f"{len(opened)} bytes opened that nobody sealed there")
    with suppress(WrongStoreKey):
        identity_from_key_check(StoreKey(bytes(32)), data)
        raise AssertionError("a key check of nobody's")


def _action(data: bytes) -> None:
    """A stored deed of this or another version."""
    with suppress(ValueError):
        action = actions.from_json(parse_object(data))
        assert actions.from_json(actions.to_json(action)) == action


def _said(data: bytes) -> None:
    """What a message of Matrix says, and to what it is an answer."""
    with suppress(ValueError):
        content = parse_object(data)
        assert isinstance(spoken(matrix_text, content), str)
        assert reply_target(content) is None or plain(content) is not None
        for event_type in ("m.room.message", "m.sticker"):
            file = described(matrix_text, event_type, content)
            assert file_name(file.name, file.mime, file.kind) == file.name
        attachment = Attachment.read(content)
        assert attachment is None or Attachment.read(attachment.to_content()) == attachment
        for receipt in foreign_receipts([content], lambda user: user.startswith("@chattor")):
            assert receipt["content"]


_COMMANDS = Commands([*codes.COMMANDS, *contacts.COMMANDS, *requests.COMMANDS])


def _command(data: bytes) -> None:
    """A line to the bot, and the lengths of time that may be in it."""
    line = data.decode(errors="replace")
    with suppress(UsageError):
        _, rest = _COMMANDS.parse(line)
        split_code(rest)
        assert read_duration(rest) >= 0


_directory = tempfile.TemporaryDirectory(prefix="chattor-fuzz-")


def _file(data: bytes) -> Path:
    file = Path(_directory.name) / "fuzzed"
    file.write_bytes(data)
    file.chmod(0o600)
    return file


def _configuration(data: bytes) -> None:
    with suppress(ConfigError):
        load_config(_file(data), {})


def _terminal_settings(data: bytes) -> None:
    with suppress(ConfigError):
        load_settings(_file(data), {})


def _registration(data: bytes) -> None:
    with suppress(ConfigError):
        registration.load(_file(data), "example.org", "chattorbot")


def _store_key(data: bytes) -> None:
    with suppress(WrongStoreKey):
        StoreKey.load(_file(data))


_EXAMPLE = (packaged_directory("config") / "example-config.yaml").read_bytes()
_SHORT = b"homeserver: {address: 'http://localhost:8008', domain: example.org}\npermissions: {example.org: user}\n"
_TERMINAL = (packaged_directory("config") / "example-chattor.yaml").read_bytes()
_TEXTS = (
    b"so ||he *dies*||, and | and ||| and ||",
    b"Hello, **Bob** and *you*: `code`, [a link](https://example.org) ~~gone~~",
    b"- one\n- two\n  1. three\n\n> quoted\n\n```python\nprint()\n```\n# Title\n\\*not\\*",
)
_HTML = (
    b"<p>Hello <strong>Bob</strong> <em>and</em> <a href='https://example.org'>you</a><br>there</p>",
    b"<mx-reply><blockquote>x</blockquote></mx-reply><ol start='3'><li>a<ul><li>b</li></ul></li></ol>",
    b"<pre><code class='language-python'>print()</code></pre><span data-mx-spoiler='why'>s</span><table><tr><td>1<td>2",
)

_MESSAGES = (
    b'{"msgtype": "m.text", "body": "> <@a:b> x\\n\\nyes", "m.relates_to": {"m.in_reply_to": {"event_id": "$x"}}}',
    b'{"body": "x", "format": "org.matrix.custom.html", "formatted_body": "<b>x</b>", "m.relates_to": 1}',
    b'{"type": "m.receipt", "room_id": "!r", "content": {"$x": {"m.read": {"@a:b": {"ts": 1}}}}}',
    b'{"msgtype": "m.audio", "body": "x", "url": "mxc://a.b/c", "m.voice": {}, "m.audio": {"waveform": [1, 2]}}',
    b'{"msgtype": "m.image", "body": "x", "filename": "a/b.ogg", "info": {"mimetype": "a/b", "w": 1, "duration": 2}}',
)

_LINES = (
    encode_request(Request("send", {"contact": "1", "text": "x"})),
    encode_answer(Item({"contact": 1})),
    encode_answer(Done({})),
    b'{"error":{"code":1,"message":"x"}}',
)
_REGISTRATION = json.dumps(
    registration.generate("example.org", "http://localhost", "chattorbot").as_document()
).encode()
_DECRYPTED = (
    b'{"type": "m.room.message", "room_id": "!r", "content": {"body": "\\ud83d", "msgtype": "m.text"}}',
    b'{"type": "m.room.encrypted", "room_id": "!r", "content": {}}',
)
_ANSWERS = (
    b'{"errcode": "M_LIMIT_EXCEEDED", "error": "x", "retry_after_ms": 1500}',
    b'{"errcode": "M_UNKNOWN_TOKEN"}',
    b"12345678",
    b"1e3",
)
_POLLS = (
    b'{"m.poll": {"question": {"m.text": [{"body": "q"}]}, "answers": [{"id": "a", "body": "A"}]}}',
    b'{"org.matrix.msc3381.poll.start": {"question": {"body": "q"}, "answers": [{"id": "a", "body": "A"}]}}',
    b'{"m.selections": ["a"], "org.matrix.msc3381.poll.response": {"answers": ["a", "a"]}}',
)
_TOR = (
    b'250-net/listeners/socks="127.0.0.1:9050" "unix:/run/tor/socks"\n9050 IsolateSOCKSAuth ExtendedErrors\nauto',
    b'NOTICE BOOTSTRAP PROGRESS=50 TAG=x SUMMARY="Loading" WARNING="no"',
    b"Invalid reply code: 0XF0",
)
_PICTURES = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0",
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xc0\0\x11\x08\0\1\0\1\3",
    b"GIF89a\1\0\1\0",
    b"RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0\x2f\0\0\0\x10\7\x10\x11",
    b"RIFF\x1a\0\0\0WEBPVP8 \r\0\0\0\x2f\0\0\x9d\x01\x2a\x10\0\x10\0",
)
_ACTIONS = (
    json.dumps(actions.to_json(actions.MarkRead("@a:b", "!r", "$e"))).encode(),
    json.dumps(actions.to_json(actions.Leave("@a:b", "!r"))).encode(),
)

TARGETS = (
    Target("html", _html, _HTML),
    Target("markdown", _markdown, _TEXTS),
    Target("terminal", _terminal, (b"\x1b[31mred\x07 \xe2\x80\xaeback", b"a\r\nb\tc\xef\xbf\xbd")),
    Target("screen", _screen, _TEXTS),
    Target("control_line", _request, _LINES),
    Target("transaction", _transaction, (b'{"events": [{"content": {"body": "\\ud83d"}}], "ephemeral": []}', b"[]")),
    Target("matrix_message", _said, _MESSAGES),
    Target("decrypted_message", _decrypted, _DECRYPTED),
    Target("homeserver_answer", _answer, _ANSWERS),
    Target("poll", _poll, _POLLS),
    Target("tor_says", _tor_says, _TOR),
    Target("picture", _picture, _PICTURES),
    Target("sealed_value", _sealed, (b"\x01" + bytes(40), _SEALER.seal(b"x", "contacts", "name", 1))),
    Target("stored_action", _action, _ACTIONS),
    Target("command", _command, (b"!chattor code new for Bob", b"add chattor:" + b"a" * 58 + b" hello", b"rename 2w")),
    Target("configuration", _configuration, (_SHORT, _EXAMPLE)),
    Target("terminal_settings", _terminal_settings, (_TERMINAL, b"history: {keep_days: 30}\n")),
    Target("registration", _registration, (_REGISTRATION,)),
    Target("store_key", _store_key, (b"00" * 32 + b"\n",)),
)
