"""Exit codes of `chattor`, and the one error that carries one across the control socket."""

from __future__ import annotations

from enum import IntEnum

from chattor_bridge.errors import ChattorError


class Exit(IntEnum):
    """What a script can rely on; `MEANINGS` says it in words, for `--help`."""

    DONE = 0
    REFUSED = 1
    USAGE = 2  # argparse's own
    NOT_RUNNING = 3
    CANNOT_START = 4
    NOT_YET = 5
    UNEXPECTED = 6
    INTERRUPTED = 130  # 128 + SIGINT, as shells count


MEANINGS = {
    Exit.DONE: "done",
    Exit.REFUSED: "refused: it cannot be done as asked, and nothing was changed; for doctor: there is a problem",
    Exit.USAGE: "the command line is wrong",
    Exit.NOT_RUNNING: "chattor run is not running, or not for this home",
    Exit.CANNOT_START: "cannot start: the configuration, the key file, the database or tor must be mended first",
    Exit.NOT_YET: "not now, but later perhaps; for send --wait: stored and on its way, but not delivered in time",
    Exit.UNEXPECTED: "something went wrong that this program did not foresee; chattor run has logged it",
    Exit.INTERRUPTED: "interrupted",
}


class CommandError(ChattorError):
    """The command ends here: ``code`` is its exit code, the message the line for the person."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code
