"""Both programs over tor, as they are shipped but for their pace: ``python -m tests.programs.quick_over_tor`` and then
``bridge --config FILE``, or ``chattor`` and its own words."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.programs.paces import QUICK_OVER_TOR


def main(program: str, words: list[str]) -> int:
    if program == "chattor":  # which starts in half the time when the bridge is not loaded too
        from chattor_bridge.terminal import app

        return app.main(words, pace=QUICK_OVER_TOR)
    from chattor_bridge.app import tor_transport
    from tests.programs import bridge_memory

    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    return bridge_memory.run(parser.parse_args(words).config, tor_transport, QUICK_OVER_TOR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
