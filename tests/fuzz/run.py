"""``make fuzz``: every decoder under atheris (libFuzzer, guided by the coverage of this project's code).

    python -m tests.fuzz.run --seconds 60 [target ...]

Each target runs in a process of its own, for a bounded time, from its seeds and from what earlier runs found worth
keeping (``.fuzz/corpus/<target>``). An input that breaks a decoder is kept as ``.fuzz/crashes/<target>-…``; move it to
``tests/fuzz/found/<target>/``, see the short form in `make test` fail, and mend the decoder.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

WORK = Path(__file__).parents[2] / ".fuzz"

LONGEST_INPUT = 4_096
"""Bytes: longer ones reach no further code, and slow everything down."""

SLOWEST = 10
"""Seconds for one input, after which it counts as a hang."""

MEMORY = 1_024
"""MiB for a target's process, beyond which an input counts as a leak or a bomb."""

GRACE = 60
"""Seconds beyond its time after which a target's process is ended."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="which ones; all of them if none is named")
    arguments = parser.parse_args()
    if arguments.inside:
        _fuzz(arguments.targets[0], arguments.seconds)
    from tests.fuzz.targets import TARGETS

    known = [target.name for target in TARGETS]
    chosen = arguments.targets or known
    if unknown := set(chosen) - set(known):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    broken = [name for name in chosen if not _survives(name, arguments.seconds)]
    sys.stdout.write(f"\n{len(chosen) - len(broken)} of {len(chosen)} targets survived.\n")
    if broken:
        sys.stdout.write(f"Broken: {', '.join(broken)}. What broke them is in {WORK / 'crashes'}.\n")
    return 1 if broken else 0


def _survives(name: str, seconds: int) -> bool:
    sys.stdout.write(f"== {name}, {seconds} s\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "tests.fuzz.run", "--inside", "--seconds", str(seconds), name]
    # libFuzzer ends its process without a word to Python, so what targets leave behind is put where we remove it
    with tempfile.TemporaryDirectory(prefix="chattor-fuzz-") as left:
        try:
            done = subprocess.run(command, check=False, timeout=seconds + GRACE, env=os.environ | {"TMPDIR": left})
        except subprocess.TimeoutExpired:
            sys.stdout.write(f"{name} did not end in time\n")
            return False
    return done.returncode == 0


def _fuzz(name: str, seconds: int) -> None:
    """Never returns: libFuzzer ends the process."""
    atheris = importlib.import_module("atheris")  # no types, and only here
    with atheris.instrument_imports(include=["chattor_bridge"]):
        from tests.fuzz.targets import TARGETS
    [target] = [each for each in TARGETS if each.name == name]
    corpus, crashes = WORK / "corpus" / name, WORK / "crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    atheris.Setup(
        [
            f"fuzz {name}",
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST_INPUT}",
            f"-timeout={SLOWEST}",
            f"-rss_limit_mb={MEMORY}",
            f"-artifact_prefix={crashes / name}-",
            "-print_final_stats=1",
            "-verbosity=0",
            str(corpus),
        ],
        target.run,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
