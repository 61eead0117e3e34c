"""What comes from people, from the homeserver and from files: text in both forms, requests, configuration."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from bs4 import BeautifulSoup

from chattor_bridge import registration
from chattor_bridge.bot import codes, contacts, requests
from chattor_bridge.bot.parser import Commands
from chattor_bridge.bot.typed_code import split_code
from chattor_bridge.bridge.attachment import Attachment
from chattor_bridge.bridge.content import plain, reply_target, spoken
from chattor_bridge.bridge.files.content import described, file_name
from chattor_bridge.config import load_config
from chattor_bridge.durations import read_duration
from chattor_bridge.errors import ChattorError, ConfigError, UsageError, WrongStoreKey
from chattor_bridge.matrix import text as matrix_text
from chattor_bridge.matrix.commonmark import LINK
from chattor_bridge.matrix.listener import _json_object
from chattor_bridge.matrix.receipts import foreign_receipts
from chattor_bridge.matrix.text import html_to_markdown, markdown_to_html
from chattor_bridge.packaged import packaged_directory
from chattor_bridge.storage import StoreKey
from chattor_bridge.terminal.control import decode_answer, decode_request
from chattor_bridge.terminal.output import neutralised_lines
from tests.fuzz.target import Target

_HARMLESS = {
    *("a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre"),
    *("strong", "ul"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}}


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


def _request(data: bytes) -> None:
    for decode in (decode_request, decode_answer):
        with suppress(ChattorError):
            decode(data)


def _transaction(data: bytes) -> None:
    with suppress(ValueError):
        repr(_json_object(data)).encode()


def _said(data: bytes) -> None:
    """What a message of Matrix says, and to what it is an answer."""
    with suppress(ValueError):
        content = _json_object(data)
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


def _registration(data: bytes) -> None:
    with suppress(ConfigError):
        registration.load(_file(data), "example.org", "chattorbot")


def _store_key(data: bytes) -> None:
    with suppress(WrongStoreKey):
        StoreKey.load(_file(data))


_EXAMPLE = (packaged_directory("config") / "example-config.yaml").read_bytes()
_SHORT = b"homeserver: {address: 'http://localhost:8008', domain: example.org}\npermissions: {example.org: user}\n"
_TEXTS = (
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

TARGETS = (
    Target("html", _html, _HTML),
    Target("markdown", _markdown, _TEXTS),
    Target("terminal", _terminal, (b"\x1b[31mred\x07 \xe2\x80\xaeback", b"a\r\nb\tc\xef\xbf\xbd")),
    Target("control_line", _request, (b'{"command": "send", "arguments": {"contact": "1"}}\n', b'{"error": "x"}\n')),
    Target("transaction", _transaction, (b'{"events": [{"content": {"body": "\\ud83d"}}], "ephemeral": []}', b"[]")),
    Target("matrix_message", _said, _MESSAGES),
    Target("command", _command, (b"!chattor code new for Bob", b"add chattor:" + b"a" * 58 + b" hello", b"rename 2w")),
    Target("configuration", _configuration, (_SHORT, _EXAMPLE)),
    Target(
        "registration",
        _registration,
        (b"id: chattor-bridge\nas_token: aaaaaaaaaaaaaaaaaaaaa\nnamespaces: {users: []}\n",),
    ),
    Target("store_key", _store_key, (b"00" * 32 + b"\n",)),
)
