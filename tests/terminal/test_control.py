"""The language of the control socket: what is read back, and what is refused."""

from __future__ import annotations

import json

import pytest

from chattor_bridge.errors import MalformedData
from chattor_bridge.terminal.control import (
    MAX_LINE_BYTES,
    VERSION,
    Answer,
    Done,
    Item,
    Request,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from chattor_bridge.terminal.exits import CommandError, Exit

TEXT = "Grüße\n\u2028\x00 日本"


def test_a_request_is_one_line_and_comes_back() -> None:
    request = Request("send", {"text": TEXT, "wait": None})
    line = encode_request(request)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_request(line) == request


@pytest.mark.parametrize("answer", [Item({"text": TEXT}), Done({}), Done({"marked": 1})])
def test_an_answer_comes_back(answer: Answer) -> None:
    line = encode_answer(answer)
    assert line.count(b"\n") == 1
    assert decode_answer(line) == answer


def test_a_refusal_is_raised_with_its_code() -> None:
    with pytest.raises(CommandError, match="no such contact") as caught:
        decode_answer(encode_answer(CommandError(Exit.REFUSED, "no such contact")))
    assert caught.value.code is Exit.REFUSED


def test_a_request_of_another_version_says_what_to_do() -> None:
    with pytest.raises(CommandError, match="stop it and start it again"):
        decode_request(json.dumps({"v": VERSION + 1, "op": "x", "args": {}}).encode())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"nonsense\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'{"v": 2}\n',
        b'{"v": 2, "op": 7, "args": {}}\n',
        b'{"v": 2, "op": "x", "args": []}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises((MalformedData, CommandError)):
        decode_request(line)


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b'{"item": 7}',
        b'{"error": "no"}',
        b'{"error": {"code": 77, "message": "no"}}',
        b'{"error": {"code": 1, "message": 7}}',
    ],
)
def test_what_is_no_answer_is_refused(line: bytes) -> None:
    with pytest.raises(MalformedData):
        decode_answer(line)


def test_a_request_beyond_the_bound_is_not_sent() -> None:
    with pytest.raises(CommandError, match="too much"):
        encode_request(Request("send", {"text": "x" * MAX_LINE_BYTES}))
