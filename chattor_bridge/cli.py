"""The `chattor-bridge` program: reads the command line and runs the command. The composition root is `app`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import sys
from collections.abc import Sequence
from enum import IntEnum
from importlib.metadata import version as installed_version
from pathlib import Path

from chattor_bridge import registering, setup
from chattor_bridge.config import load_config
from chattor_bridge.errors import ChattorError, ConfigError, Unavailable, Unusable, UsageError
from chattor_bridge.logs import set_up_logging
from chattor_bridge.registration import load as load_registration

CONFIG_VARIABLE = "CHATTOR_CONFIG"


class Exit(IntEnum):
    """Exit codes; `_EPILOGUE` says them in words."""

    DONE = 0
    REFUSED = 1
    USAGE = 2  # argparse's own
    NOT_NOW = 3
    CANNOT_START = 4
    UNEXPECTED = 6
    INTERRUPTED = 130  # 128 + SIGINT, as shells count


_INTRODUCTION = """\
A bridge between Matrix and Chattor: everybody on your homeserver who wants gets a Chattor node of their own, and their
Chattor friends appear as Matrix users in direct chats.

first steps:
  chattor-bridge init            asks what it must know; writes config.yaml, registration.yaml and store.key
  (one line for homeserver.yaml, which init prints; then restart the homeserver)
  chattor-bridge run             start the bridge; then talk to the bot in your Matrix client
  chattor-bridge doctor          say what is wrong, if anything is, and what mends it
"""

_EPILOGUE = """\
The configuration is config.yaml in the current directory, unless --config or $CHATTOR_CONFIG says otherwise. Each of
its options is explained in it, and CHATTOR_<SECTION>_<KEY> in the environment overrides it.

exit codes:
  0    done; a bridge that was asked to stop has stopped
  1    refused: it cannot be done as asked, and nothing was changed; for doctor: there is a problem
  2    the command line is wrong
  3    not now, but perhaps later: for the commands that need one, the database does not answer
  4    cannot start, or not go on: the configuration, the key file, the database, tor or the port must be mended first
  6    something went wrong that this program did not foresee; the log says more
  130  interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = _parse(list(sys.argv[1:] if argv is None else argv))
    try:
        return _run(arguments)
    except (Unusable, ConfigError) as error:
        return _complain(error, Exit.CANNOT_START)
    except UsageError as error:
        return _complain(error, Exit.REFUSED)
    except Unavailable as error:
        return _complain(error, Exit.NOT_NOW)
    except ChattorError as error:
        return _complain(error, Exit.UNEXPECTED)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return Exit.INTERRUPTED
    except Exception:
        # through the log, which leaves out what the message of an error may quote
        if not logging.getLogger().handlers:
            set_up_logging("ERROR")
        logging.getLogger(__name__).exception("chattor-bridge failed in a way nobody foresaw; please report this")
        return Exit.UNEXPECTED


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; ``--config`` stands before or after the command."""
    parser = argparse.ArgumentParser(
        prog="chattor-bridge",
        description=_INTRODUCTION,
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_config(parser, None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, summary: str, manual: str = "") -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.\n\n{manual}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        _add_config(added, argparse.SUPPRESS)
        return added

    init = command(
        "init",
        "write a configuration, a registration and a store key",
        "Asks what it must know and was not given, when there is a terminal to ask at. Overwrites nothing.",
    )
    init.add_argument("--homeserver", metavar="ADDRESS", help="where the bridge reaches it, e.g. http://localhost:8008")
    init.add_argument("--domain", help="what stands behind the colon in your users' ids, e.g. example.org")
    init.add_argument(
        "--listen", metavar="HOST", help="where the bridge listens for the homeserver (default 127.0.0.1)"
    )
    init.add_argument("--port", type=int, help="on which port (default 29390)")
    init.add_argument("--url", help="how the homeserver reaches that (default http://127.0.0.1:<port>)")
    init.add_argument("--bot", metavar="LOCALPART", help="the bot's name (default chattorbot)")
    init.add_argument("--admin", metavar="USER", help="a full user id that may also see how the bridge is doing")
    registration = command(
        "registration",
        "bring the registration file in line with the configuration, and say where it is",
        "Makes the file when there is none. After a change of appservice.url the tokens stay. After a change of the\n"
        "domain or the bot a new one is made, with new tokens, and the old one kept beside it. Restart the homeserver\n"
        "whenever the file has changed.",
    )
    registration.add_argument("--new-tokens", action="store_true", help="make a new one whatever there is")
    command(
        "run",
        "run the bridge until SIGINT or SIGTERM",
        "Waits for a homeserver that is down. Logs to standard error.",
    )
    doctor = command(
        "doctor",
        "find out what is wrong with this bridge, and what mends it",
        "Looks at the configuration, files, disk, database, registration, homeserver and tor; takes no lock, changes\n"
        "nothing, so the bridge may run meanwhile. Where it does not, its port is opened for a moment and a tor is\n"
        "started in a directory of its own. No line of the report holds a secret. Exit code 0: no problem; 1: one\n"
        "or more.",
    )
    doctor.add_argument("--onions", action="store_true", help="also dial your users' friend codes over tor")
    doctor.add_argument("--json", action="store_true", help="write one JSON object a line: check, verdict, what, mend")
    demo = command("demo", "show it all on this machine: a private Tor network, a Synapse, the bridge and a friend")
    demo.add_argument("--check", action="store_true", help="end after the conversation; exit 0 only if it all arrived")
    command("version", "show the versions of what is at work")
    return parser


def _parse(words: list[str]) -> argparse.Namespace:
    """Like argparse, exits with 2 when it is wrong."""
    parser = build_parser()
    arguments = parser.parse_args([*words[1:], "--help"] if words[:1] == ["help"] else words)
    if arguments.command is None:
        parser.error("say what to do: chattor-bridge help lists the commands")
    return arguments


def _add_config(parser: argparse.ArgumentParser, absent: object) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", default=absent, help="the configuration file")


def _run(arguments: argparse.Namespace) -> int:
    file: Path = arguments.config or Path(os.environ.get(CONFIG_VARIABLE) or "config.yaml")
    match arguments.command:
        case "init":
            setup.refuse_to_begin_again(file)
            setup.initialise(file, setup.answers(arguments))
        case "registration":
            registering.bring_in_line(file, new_tokens=arguments.new_tokens)
        case "run":
            _run_bridge(file)
        case "doctor":
            from chattor_bridge.ops.doctor import examine_bridge, report

            return asyncio.run(report(examine_bridge(file, onions=arguments.onions), as_json=arguments.json))
        case "demo":
            from chattor_bridge.ops.demo import run_demo  # the servers it brings are no part of a bridge

            return asyncio.run(run_demo(check=arguments.check))
        case "version":
            _show_versions()
    return Exit.DONE


def _run_bridge(file: Path) -> None:
    from chattor_bridge import app  # takes longer to load than the other commands take to run

    config = load_config(file)
    homeserver, appservice = config.homeserver, config.appservice
    registration = load_registration(appservice.registration_file, homeserver.domain, appservice.bot_localpart)
    set_up_logging(config.logging.level, secrets=(registration.as_token, registration.hs_token))
    asyncio.run(app.run_until_signalled(config, registration))


def _show_versions() -> None:
    for name in ("chattor-bridge", "mautrix", "cryptography", "DoubleRatchet", "stem"):
        sys.stdout.write(f"{name} {installed_version(name)}\n")
    sys.stdout.write(f"Python {platform.python_version()}\n")


def _complain(error: ChattorError, code: Exit) -> int:
    sys.stderr.write(f"chattor-bridge: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
