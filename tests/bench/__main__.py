"""``make bench``: python -m tests.bench [--json FILE] [--smallest] [part ...]."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import carriers, crowds, files, ghosts, latency, links, throughput
from tests.bench.figures import Figure, print_figures


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: messages for latency and throughput, and conversations that go on at once; ``nodes`` and
    ``friendships`` for memory, how many friendships come up at a start, how many ghosts there are and for how many
    seconds they are left alone before; ``file`` is the size of the one that goes over, in bytes; ``blocks`` are left on
    a shelf, and ``missed`` messages collected."""

    latency: int
    throughput: int
    conversations: int
    nodes: int
    friendships: tuple[int, ...]
    ghosts: tuple[int, ...]
    settling: float
    file: int
    blocks: int
    missed: int


WHOLE = Scale(
    latency=60,
    throughput=300,
    conversations=8,
    nodes=20,
    friendships=(1, 10, 50),
    ghosts=(10, 100, 1_000),
    settling=15.0,
    file=50_000_000,
    blocks=100,
    missed=10_000,
)
SMALLEST = Scale(
    latency=2,
    throughput=5,
    conversations=2,
    nodes=2,
    friendships=(1,),
    ghosts=(2,),
    settling=0.0,
    file=500_000,
    blocks=4,
    missed=16,
)

PARTS: dict[str, Callable[[Path, Scale], Awaitable[list[Figure]]]] = {
    "latency": lambda directory, scale: latency.measure(directory, scale.latency),
    "throughput": lambda directory, scale: throughput.measure(directory, scale.throughput, scale.conversations),
    "memory": lambda directory, scale: crowds.measure_memory(directory, scale.nodes, scale.friendships[-1]),
    "links": lambda directory, scale: crowds.measure_links(directory, scale.friendships),
    "ghosts": lambda directory, scale: ghosts.measure(directory, scale.ghosts, scale.settling),
    "carriers": lambda directory, scale: carriers.measure(directory, scale.blocks, scale.missed),
    "files": lambda directory, scale: files.measure(directory, scale.file),
    "tor-links": lambda directory, scale: links.measure(directory, scale.friendships),
}


async def measure(parts: list[str], scale: Scale) -> dict[str, list[Figure]]:
    """Each part in a directory of its own that is gone afterwards."""
    results = {}
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="chattor-bench-") as directory:
            results[part] = await PARTS[part](Path(directory), scale)
        print_figures(results[part])
    return results


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure, each number beside its floor.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    parser.add_argument("--smallest", action="store_true", help="a few messages only, to see that it works")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all of them if none")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    load = os.getloadavg()[0]
    results = asyncio.run(measure(arguments.parts or list(PARTS), SMALLEST if arguments.smallest else WHOLE))
    if arguments.json is not None:
        document = {
            "machine": {"processors": os.cpu_count(), "python": platform.python_version(), "load_before": load},
            "figures": {part: [figure.as_json() for figure in figures] for part, figures in results.items()},
        }
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
