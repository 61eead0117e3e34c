"""Typed reading of a request's arguments. Both ends are ours: a wrong one is a mistake, answered and not guessed at."""

from __future__ import annotations

from chattor_bridge.errors import MalformedData
from chattor_bridge.terminal.control import JsonObject


def text(arguments: JsonObject, key: str) -> str:
    """A required text, with what JSON can carry and UTF-8 cannot replaced. Raises: MalformedData."""
    value = arguments.get(key)
    if not isinstance(value, str):
        raise MalformedData(f"{key} must be a text")
    # a lone surrogate comes from an argument that is not UTF-8; nobody could read it on the other side
    return value.encode(errors="replace").decode()


def optional_text(arguments: JsonObject, key: str) -> str | None:
    """The same, or ``None``. Raises: MalformedData."""
    return None if arguments.get(key) is None else text(arguments, key)


def optional_number(arguments: JsonObject, key: str) -> int | None:
    """A whole number that is not negative, or ``None``. Raises: MalformedData."""
    value = arguments.get(key)
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise MalformedData(f"{key} must be a whole number")
    return value


def number(arguments: JsonObject, key: str) -> int:
    """The same, required. Raises: MalformedData."""
    value = optional_number(arguments, key)
    if value is None:
        raise MalformedData(f"{key} is missing")
    return value


def signed(arguments: JsonObject, key: str) -> int:
    """A whole number, which may be negative. Raises: MalformedData."""
    value = arguments.get(key)
    if type(value) is not int:
        raise MalformedData(f"{key} must be a whole number")
    return value


def texts(arguments: JsonObject, key: str, most: int) -> list[str]:
    """A list of texts, ``most`` at most. Raises: MalformedData."""
    return [text({key: one}, key) for one in _listed(arguments, key, most)]


def numbers(arguments: JsonObject, key: str, most: int) -> list[int]:
    """A list of whole numbers that are not negative, ``most`` at most. Raises: MalformedData."""
    return [number({key: one}, key) for one in _listed(arguments, key, most)]


def _listed(arguments: JsonObject, key: str, most: int) -> list[object]:
    value = arguments.get(key)
    if not isinstance(value, list) or len(value) > most:
        raise MalformedData(f"{key} must be a list of at most {most}")
    return value


def flag(arguments: JsonObject, key: str) -> bool:
    """``true`` or, also when absent, ``false``. Raises: MalformedData."""
    value = arguments.get(key, False)
    if not isinstance(value, bool):
        raise MalformedData(f"{key} must be true or false")
    return value


def objects(arguments: JsonObject, key: str, most: int) -> list[JsonObject]:
    """A list of objects, ``most`` at most. Raises: MalformedData."""
    value = arguments.get(key)
    if not isinstance(value, list) or len(value) > most or not all(isinstance(item, dict) for item in value):
        raise MalformedData(f"{key} must be a list of at most {most} objects")
    return value


def identifier(arguments: JsonObject, key: str) -> bytes:
    """An id in hexadecimal. Raises: MalformedData."""
    try:
        return bytes.fromhex(text(arguments, key))
    except ValueError as error:
        raise MalformedData(f"{key} must be hexadecimal") from error
