"""Runs a simulated world and says what came of it: ``python -m tests.sim --seed 7``, or ``make sim SEED=7``."""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
import time

from tests.sim.plan import Options
from tests.sim.world import simulate

HASH_SEED = "0"
"""Of Python's hashes of bytes, by which sets are ordered: another seed is another order of what happens at once."""


def say(line: str) -> None:
    """To whoever runs this, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    defaults = Options()
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--nodes", type=int, default=defaults.nodes)
    parser.add_argument("--days", type=float, default=defaults.days)
    parser.add_argument("--messages", type=int, default=defaults.messages)
    parser.add_argument("--rough", action="store_true", help="with much more of everything that goes wrong")
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]])
    gc.set_threshold(100_000, 50, 1_000)  # hundreds of nodes live long, and looking through them takes time
    options = Options(seed=given.seed, nodes=given.nodes, days=given.days, messages=given.messages)
    if given.rough:
        options = options.roughly()
    began = time.monotonic()

    def tell(line: str) -> None:
        say(f"[{time.monotonic() - began:6.0f} s, {time.process_time():6.0f} s at work] {line}")

    findings = simulate(options, tell=tell)
    for name, figure in findings.figures.items():
        say(f"{name}: {figure}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    say(f"took {time.monotonic() - began:.0f} s, of which {time.process_time():.0f} s at work, and {memory} MiB")
    for problem in findings.problems:
        say(f"PROBLEM: {problem}")
    say(f"again: {options.command()}")
    return 1 if findings.problems else 0


if __name__ == "__main__":
    sys.exit(main())
