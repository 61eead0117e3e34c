"""How much of files a process's nodes take, and where they keep and find them."""

from __future__ import annotations

from dataclasses import dataclass

from chattor_bridge.node.ports import FileSources, Parts


@dataclass(frozen=True, slots=True)
class FileSettings:
    """``sources`` opens what is offered; ``parts`` keeps what comes. All sizes in bytes: a file of ``auto_accept`` or
    less is fetched unasked; ``per_friend`` is kept of one friend at most, on its way or not taken yet, and ``in_all``
    of all friends of all nodes."""

    sources: FileSources
    parts: Parts
    auto_accept: int
    per_friend: int
    in_all: int
