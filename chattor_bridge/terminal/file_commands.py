"""The commands about files, and how far one is, as a terminal shows it."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import aclosing
from typing import Final

from chattor_bridge.counting import sized
from chattor_bridge.terminal.client import ask, ask_once
from chattor_bridge.terminal.control import SHORT_ID, Item, JsonObject
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output, neutralised, table

BAR: Final = 24
"""Columns of a progress bar."""


async def file(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    match arguments.action:
        case "send":
            await _send(arguments, home, output)
        case "accept":
            items, _ = await ask_once(home, "file_accept", file=arguments.file)
            output.show(items[0], f"It is being fetched. {home.command('file list')} shows how far it is.")
        case "cancel":
            items, _ = await ask_once(home, "file_cancel", file=arguments.file)
            output.show(items[0], "Cancelled.")
        case "save":
            await _save(arguments, home, output)
        case _:
            await _list(arguments, home, output)


async def _send(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    answers = ask(
        home,
        "file_send",
        contact=arguments.contact,
        path=arguments.path,
        caption=arguments.caption,
        voice=arguments.voice,
        wait=arguments.wait,
    )
    progress = Progress(output)
    async with aclosing(answers):
        first = True
        async for answer in answers:
            if isinstance(answer, Item) and first:
                first = False
                output.show(answer.fields, f"Offered, as {_short(answer.fields)}.")
            elif isinstance(answer, Item):
                progress.show(answer.fields)
    progress.end()


async def _save(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    progress = Progress(output)
    async with aclosing(ask(home, "file_save", file=arguments.file, directory=arguments.directory)) as answers:
        async for answer in answers:
            if isinstance(answer, Item) and "saved" in answer.fields:
                progress.end()
                output.show(answer.fields, f"Saved: {neutralised(answer.fields['saved'])}")
            elif isinstance(answer, Item):
                progress.show(answer.fields)


async def _list(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "files", contact=arguments.contact)
    if output.as_json:
        for item in items:
            output.show(item)
    elif items:
        output.say(*table([_row(item) for item in items]))
    else:
        output.say(f"No files. {home.command('file send NAME PATH')} offers one.")


def _row(item: JsonObject) -> list[str]:
    way = "to" if item["sent"] else "from"
    state = str(item["state"])
    if item["carried"]:
        state = "carried"
    elif state == "accepted":
        state = f"{_percent(item)} %" if item["streams"] or item["done"] else "waiting"
    reason = f" ({neutralised(item['reason'])})" if item["reason"] else ""
    return [
        _short(item),
        f"{way} {neutralised(item['name'])}",
        neutralised(item["file_name"]),
        sized(item["size"]),
        state + reason,
    ]


def _percent(item: JsonObject) -> int:
    return 100 if not item["size"] else int(item["done"]) * 100 // int(item["size"])


def _short(item: JsonObject) -> str:
    return str(item["file"])[:SHORT_ID]


class Progress:
    """A bar that is drawn over itself on a terminal; for a script, an object whenever something changed; nothing where
    lines go to a file."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._drawn = 0
        self._began: tuple[float, int] | None = None

    def show(self, item: JsonObject) -> None:
        if self._output.as_json:
            self._output.show(item)
            return
        if not sys.stdout.isatty():
            return
        now = time.monotonic()
        if self._began is None and item["done"]:
            self._began = now, int(item["done"])
        rate = ""
        if self._began is not None and now > self._began[0]:
            rate = f"  {sized(int((int(item['done']) - self._began[1]) / (now - self._began[0])))}/s"
        filled = _percent(item) * BAR // 100
        waiting = "" if item["streams"] or item["state"] != "accepted" else "  waiting for your friend"
        line = f"[{'#' * filled}{'.' * (BAR - filled)}] {_percent(item):3} %{rate}{waiting}"
        sys.stdout.write("\r" + line.ljust(self._drawn))
        sys.stdout.flush()
        self._drawn = len(line)

    def end(self) -> None:
        if self._drawn:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._drawn = 0
