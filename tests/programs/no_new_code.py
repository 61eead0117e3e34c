"""Runs a program as systemd's MemoryDenyWriteExecute and NoNewPrivileges do: ``no_new_code PROGRAM ARGUMENTS``.

Whatever was writable cannot become executable, in it and in what it starts. Needs Linux 6.3; exits with 77 without it.
"""

from __future__ import annotations

import ctypes
import os
import sys

SET_NO_NEW_PRIVS, SET_MDWE, REFUSE_EXEC_GAIN = 38, 65, 1
"""Of prctl(2)."""

NOT_HERE = 77
"""The exit code by which test programs say that they cannot try something here."""


def main() -> None:
    prctl = ctypes.CDLL(None).prctl
    if prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
        sys.exit(NOT_HERE)
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
