"""Reading options strictly: a file may hold what is known, of the right type, within its bounds, and nothing else.

Options come from a YAML file of sections, and the environment overrides the file: ``CHATTOR_<SECTION>_<KEY>`` replaces
``section.key``. The value of such a variable is the text itself where a text is wanted and YAML everywhere else, so
``CHATTOR_APPSERVICE_LISTEN_PORT=29400`` and ``CHATTOR_TOR_TORRC_LINES='["SocksPolicy accept *"]'`` both work.

Every complaint is a `ConfigError` that names the dotted path, and the line of the file or the variable it came from.
The file is only read, never rewritten, so it may be read-only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from chattor_bridge.errors import ConfigError

MAX_FILE_BYTES = 1024 * 1024
"""Bytes of a configuration file: a hundred times the commented template, and small enough to read at once."""

ENVIRONMENT_PREFIX = "CHATTOR_"

_TYPE_NAMES = {str: "text", bool: "true or false", int: "a whole number", list: "a list", dict: "a mapping"}


class Options:
    """One configuration file with the environment on top.

    Sections are taken with `section` or `mapping`; `close` then refuses what nobody took. ``base`` is the directory
    that relative paths in the file start from: the one the file is in.

    Raises: ConfigError when the file cannot be read, is not YAML, or is not a mapping of sections.
    """

    def __init__(self, file: Path, environment: Mapping[str, str]) -> None:
        self.file = file
        self.base = file.resolve().parent
        self._environment = environment
        self._root = _read_mapping(file)
        self._taken: set[str] = set()

    def section(self, name: str) -> Section:
        """The section of this name, empty when the file has none: its options may all have defaults."""
        self._taken.add(name)
        value = self._root.get(name)
        if value is None:
            value = CommentedMap()
        if not isinstance(value, CommentedMap):
            raise ConfigError(name, f"must hold options, one a line, indented below it{self._where(self._root, name)}")
        return Section(self, name, value, self._environment)

    def mapping(self, name: str) -> dict[str, tuple[object, str]]:
        """A section whose keys are free: each key with its value and the words that say where it stands.

        ``CHATTOR_<NAME>`` replaces the whole of it.
        """
        self._taken.add(name)
        variable = ENVIRONMENT_PREFIX + name.upper()
        if variable in self._environment:
            value = _parse_variable(name, variable, self._environment[variable])
            where = f" (from {variable})"
            if not isinstance(value, dict):
                raise ConfigError(name, f"must be a mapping{where}")
            return {str(key): (item, where) for key, item in value.items()}
        found = self._root.get(name)
        if found is None:
            return {}
        if not isinstance(found, CommentedMap):
            raise ConfigError(name, f"must be a mapping{self._where(self._root, name)}")
        return {str(key): (item, self._where(found, key)) for key, item in found.items()}

    def close(self) -> None:
        """Refuse sections that nobody asked for: a misspelt one would otherwise be silently without effect."""
        for name in self._root:
            if name not in self._taken:
                known = ", ".join(sorted(self._taken))
                raise ConfigError(str(name), f"no such section{self._where(self._root, name)}; there are: {known}")

    def _where(self, mapping: CommentedMap, key: object) -> str:
        line, _column = mapping.lc.key(key)
        return f" (line {line + 1} of {self.file})"


class Section:
    """One section; each option is taken once by a method that knows its type, then `close` refuses the rest."""

    def __init__(self, options: Options, name: str, values: CommentedMap, environment: Mapping[str, str]) -> None:
        self._options = options
        self._name = name
        self._values = values
        self._environment = environment
        self._taken: set[str] = set()

    def text(self, key: str, default: str | None = None, *, pattern: str = ".+", wanted: str = "a text") -> str:
        """A text that matches ``pattern`` as a whole; required when there is no default. ``wanted`` completes the
        sentence "must be …"."""
        value = self.optional_text(key, pattern=pattern, wanted=wanted)
        if value is not None:
            return value
        if default is None:
            raise self.wrong(key, f"is missing: set it to {wanted}")
        return default

    def optional_text(self, key: str, *, pattern: str = ".+", wanted: str = "a text") -> str | None:
        """The same, ``None`` when the option is absent or empty."""
        value = self._take(key, str)
        if value is None:
            return None
        if not re.fullmatch(pattern, value):
            raise self.wrong(key, f"must be {wanted}")
        return str(value)

    def integer(self, key: str, default: int, *, low: int, high: int) -> int:
        """A whole number between the two bounds, both included."""
        value = self._take(key, int)
        if value is None:
            return default
        if not low <= value <= high:
            raise self.wrong(key, f"must be between {low} and {high}")
        return int(value)

    def flag(self, key: str, default: bool) -> bool:
        """``true`` or ``false``."""
        value = self._take(key, bool)
        return default if value is None else bool(value)

    def texts(self, key: str, *, pattern: str = ".+", wanted: str = "a text") -> tuple[str, ...]:
        """A list of texts, empty by default."""
        value = self._take(key, list)
        if value is None:
            return ()
        for place, item in enumerate(value):
            if not isinstance(item, str) or not re.fullmatch(pattern, item):
                raise ConfigError(f"{self._name}.{key}[{place}]", f"must be {wanted}{self._where(key)}")
        return tuple(str(item) for item in value)

    def path(self, key: str, default: str) -> Path:
        """A path; a relative one starts from the directory of the file."""
        return self.placed(key, self.text(key, default, wanted="a path"))

    def placed(self, key: str, path: str) -> Path:
        """Where a path that this option names is."""
        try:
            return self._options.base / Path(path).expanduser()
        except RuntimeError:
            raise self.wrong(key, "begins with a home directory that there is not") from None

    def wrong(self, key: str, message: str) -> ConfigError:
        """The error for this option, with the place its value came from."""
        return ConfigError(f"{self._name}.{key}", message + self._where(key))

    def from_environment(self, key: str) -> bool:
        """Whether the environment overrides this option."""
        return self._variable(key) in self._environment

    def close(self) -> None:
        """Refuse options that nobody asked for, in the file and in the environment."""
        known = ", ".join(sorted(self._taken))
        for key in self._values:
            if key not in self._taken:
                raise self.wrong(str(key), f"no such option; there are: {known}")
        variables = {self._variable(key) for key in self._taken}
        for variable in self._environment:
            if variable.startswith(self._variable("")) and variable not in variables:
                raise ConfigError(
                    f"{self._name}.{variable[len(self._variable('')) :].lower()}",
                    f"no such option (from {variable}); there are: {known}",
                )

    def _variable(self, key: str) -> str:
        return f"{ENVIRONMENT_PREFIX}{self._name}_{key}".upper()

    def _where(self, key: str) -> str:
        if self.from_environment(key):
            return f" (from {self._variable(key)})"
        if key not in self._values:
            return f" ({self._options.file})"
        line, _column = self._values.lc.key(key)
        return f" (line {line + 1} of {self._options.file})"

    def _take(self, key: str, wanted: type) -> Any:
        self._taken.add(key)
        variable = self._variable(key)
        if variable in self._environment:
            value: object = self._environment[variable]
            if wanted is not str:
                value = _parse_variable(f"{self._name}.{key}", variable, str(value))
        else:
            value = self._values.get(key)
        if value is None or value == "":
            return None
        # a bool is an int to Python, but "port: true" is a mistake
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            hint = "; put it in quotes" if wanted is str and not isinstance(value, dict | list) else ""
            raise self.wrong(key, f"must be {_TYPE_NAMES[wanted]}{hint}")
        return value


def _read_mapping(file: Path) -> CommentedMap:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(file), f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(str(file), f"is larger than {MAX_FILE_BYTES} bytes; is this the right file?")
    try:
        # the round-trip loader, because it alone remembers lines
        root = YAML(typ="rt").load(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(str(file), "is not UTF-8 text") from error
    except YAMLError as error:
        raise ConfigError(str(file), f"is not valid YAML: {_first_line(error)}") from error
    if root is None:
        return CommentedMap()
    if not isinstance(root, CommentedMap):
        raise ConfigError(str(file), "must hold sections, each a name, a colon and indented options")
    return root


def _parse_variable(path: str, variable: str, text: str) -> object:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ConfigError(path, f"is not valid YAML: {_first_line(error)} (from {variable})") from error


def _first_line(error: YAMLError) -> str:
    """What is wrong and where, without the lines of the file: they may hold a secret."""
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        return f"{error.problem or error.context}{place}"
    return "unreadable characters"
