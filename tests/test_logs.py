"""The log of both programs: what passes, and what never does."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from chattor_bridge.errors import WrongStoreKey
from chattor_bridge.logs import BLOT, LINES_AT_ONCE, LINES_WITHIN, set_up_logging

CODE = "chattor:aeq7fkh3k2cdw5jf2mbxy4vbhcu7d3rn6yz5sg3h2l7qpmtowe4xuaaaaa"
ONION = "vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd"
TOKEN = "as-token-of-this-run"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, package = logging.getLogger(), logging.getLogger("chattor_bridge")
    before = (list(root.handlers), root.level, package.level)
    yield io.StringIO()
    root.handlers[:], root.level, package.level = before


@pytest.mark.parametrize(
    "secret",
    [
        CODE,
        CODE.upper(),
        CODE.removeprefix("chattor:"),
        ONION,
        f"{ONION}.onion",
        f"{ONION.upper()}.ONION",
        "5f" * 32,
        "kJ8sPz0vQm3x/w7uTn5rLb2cVh9dGf4aEe6iOo1pXyZ=",
        "kJ8sPz0vQm3x_w7uTn5rLb2cVh9dGf4aEe6iOo1pXyZ",
        "syt_YWxpY2U_abcdefghijklmnop_0aBcDe",
        TOKEN,
    ],
)
def test_what_looks_like_a_secret_is_blotted_out_everywhere(stream: io.StringIO, secret: str) -> None:
    set_up_logging("DEBUG", [TOKEN], stream)
    log = logging.getLogger("chattor_bridge.somewhere")
    log.warning("dialling %s failed", secret)
    try:
        raise WrongStoreKey(f"cannot open {secret} today")
    except WrongStoreKey:
        log.exception("trouble with (%s)", secret)
    assert secret not in stream.getvalue()
    assert stream.getvalue().count(BLOT) == 3


def test_ordinary_lines_stay_as_they_are(stream: io.StringIO) -> None:
    set_up_logging("INFO", [TOKEN], stream)
    path = "/var/lib/chattor/somewhere/very/deep/in/the/tree/chattor.db"
    line = f"{path}: ready for @chattorbot:example.org at http://127.0.0.1:29390/_matrix/app/v1/transactions in 3 s"
    logging.getLogger("chattor_bridge.app").info(line)
    assert stream.getvalue().endswith(f" INFO    chattor_bridge.app: {line}\n")


def test_one_place_logs_so_many_lines_a_minute_and_the_rest_is_counted(stream: io.StringIO) -> None:
    set_up_logging("DEBUG", stream=stream)
    log = logging.getLogger("chattor_bridge.node.door")

    def stranger(number: int, at: float) -> None:
        record = log.makeRecord(log.name, logging.INFO, "door.py", 59, "refused %d", (number,), None)
        record.created = at
        log.handle(record)

    for number in range(1000):
        stranger(number, 1_760_000_000 + number / 100)
    log.warning("something else")
    assert len(stream.getvalue().splitlines()) == LINES_AT_ONCE + 1
    assert "something else" in stream.getvalue()
    stranger(1000, 1_760_000_000 + LINES_WITHIN)
    assert stream.getvalue().endswith("refused 1000 (980 more lines like this were left out)\n")
    stranger(1001, 1_760_000_000)  # the clock was set back
    assert stream.getvalue().endswith("refused 1001\n")


def test_the_level_is_for_this_project_and_libraries_stay_above_debug(stream: io.StringIO) -> None:
    set_up_logging("DEBUG", stream=stream)
    for name in ("mau.http", "aiosqlite", "chattor_bridge.matrix"):
        # as a library would write it, whatever logger it was given
        record = logging.LogRecord(name, logging.DEBUG, "/lib/mautrix/api.py", 1, "a request body", (), None)
        logger = logging.getLogger(name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
    assert stream.getvalue() == ""
    logging.getLogger("mau.http").info("information")
    assert "information" in stream.getvalue()


def test_errors_of_libraries_are_logged_without_their_message(stream: io.StringIO) -> None:
    set_up_logging("INFO", stream=stream)
    try:
        try:
            raise ValueError("dear diary")
        except ValueError as error:
            raise WrongStoreKey("the key file does not open this database") from error
    except WrongStoreKey:
        logging.getLogger("chattor_bridge.x").exception("stopped")
    try:
        raise ExceptionGroup("dear diary", [ValueError("dear diary")])
    except ExceptionGroup:
        logging.getLogger("chattor_bridge.x").exception("again")
    text = stream.getvalue()
    assert "dear diary" not in text
    assert "the key file does not open this database" in text
    assert "builtins.ValueError" in text
    assert "test_logs.py:" in text


def test_nobody_forges_a_line_or_commands_a_terminal(stream: io.StringIO) -> None:
    set_up_logging("INFO", stream=stream)
    logging.getLogger("chattor_bridge.x").info("name %s", "Bob\n2026-01-01 ERROR forged\x1b[2J\u202e")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()
