"""The `chattor` program: reads the command line and runs the command. The composition root is `daemon`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from chattor_bridge.errors import ChattorError, ConfigError, Unavailable, Unusable, UsageError
from chattor_bridge.logs import set_up_logging
from chattor_bridge.terminal.checking import check
from chattor_bridge.terminal.commands import COMMANDS, ask_back, take_input
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.friend_commands import whom
from chattor_bridge.terminal.home import DEFAULT_HOME, HOME_VARIABLE, Home
from chattor_bridge.terminal.output import Output
from chattor_bridge.terminal.parser import parse

if TYPE_CHECKING:
    from chattor_bridge.node.patience import Pace
    from chattor_bridge.terminal.daemon import TransportFactory


T = TypeVar("T")


def main(
    argv: Sequence[str] | None = None,
    *,
    transport_factory: TransportFactory | None = None,
    pace: Pace | None = None,
) -> int:
    """Run one command; its exit code. ``transport_factory`` is what `run` reaches the onion network through (tor,
    unless a caller that is no user brings another), ``pace`` how patient it is."""
    arguments = parse(argv)
    output = Output(as_json=arguments.json)
    try:
        return _run(arguments, output, transport_factory, pace)
    except CommandError as error:
        output.complain(str(error))
        return error.code
    except (Unusable, ConfigError) as error:
        output.complain(str(error))
        return Exit.CANNOT_START
    except UsageError as error:
        output.complain(str(error))
        return Exit.REFUSED
    except Unavailable as error:
        output.complain(str(error))
        return Exit.NOT_YET
    except ChattorError as error:
        output.complain(str(error))
        return Exit.UNEXPECTED
    except (KeyboardInterrupt, asyncio.CancelledError):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # the reader of our output has seen enough; Python must not complain about it once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except Exception:
        # through the log, which leaves out what the message of an error may quote
        set_up_logging("ERROR")
        logging.getLogger(__name__).exception("chattor failed in a way nobody foresaw; please report this")
        return Exit.UNEXPECTED


def _run(
    arguments: argparse.Namespace, output: Output, transport_factory: TransportFactory | None, pace: Pace | None
) -> int:
    home = Home(arguments.home or Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME))
    if arguments.command in COMMANDS:
        check(arguments)
        home.require()
        take_input(arguments, home)
        ask_back(arguments, lambda word: asyncio.run(_interruptible(whom(home, word))))
        asyncio.run(_interruptible(COMMANDS[arguments.command](arguments, home, output)))
        return Exit.DONE
    if arguments.command == "doctor":
        home.require()
        return _examine(home, arguments)
    # only these three need the node and its libraries, which take longer to load than the other commands take to run
    from chattor_bridge.terminal import daemon

    if arguments.command == "init":
        asyncio.run(daemon.make_identity(home, arguments.name, output))
    elif arguments.command == "tui":
        home.require()
        if arguments.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise CommandError(Exit.REFUSED, "tui is for a person at a terminal: scripts use the other commands")
        from chattor_bridge.terminal.tui.start import run_tui

        asyncio.run(run_tui(home, transport_factory or daemon.tor_transport, pace))
    else:
        asyncio.run(
            daemon.run_until_signalled(
                home, output, transport_factory or daemon.tor_transport, pace, headless=arguments.headless
            )
        )
    return Exit.DONE


async def _interruptible(work: Awaitable[T]) -> T:
    """Do ``work`` until Ctrl-C. `asyncio.run` alone does not wake a loop for a signal: one that comes just before the
    loop begins to wait for the daemon would wait with it."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    return await work


def _examine(home: Home, arguments: argparse.Namespace) -> int:
    from chattor_bridge.ops.doctor import examine_home, report
    from chattor_bridge.terminal.settings import load_settings

    findings = examine_home(
        home.directory,
        key_file=home.key,
        database=home.database,
        read_tor=lambda: load_settings(home.config).tor,
        onions=arguments.onions,
    )
    return asyncio.run(report(findings, as_json=arguments.json))


if __name__ == "__main__":
    sys.exit(main())
