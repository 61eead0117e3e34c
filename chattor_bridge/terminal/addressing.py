"""Which contact, request or code a person means: numbers, names and short ids, and never a guess.

A message to the wrong friend cannot be taken back, so a word that could mean two is refused and the two are named.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import TypeVar

from chattor_bridge.errors import NotFound, UsageError
from chattor_bridge.node.views import CodeInfo, ContactInfo, RequestInfo, TransferInfo
from chattor_bridge.terminal.control import SHORT_ID

T = TypeVar("T")

YET_UNNAMED = "; a new friend goes by its number until it has been online and told its name"

MIN_ID = 4
"""Hexadecimal digits that an id must at least be given with, so that a short name is not taken for one."""


def numbered(contacts: Sequence[ContactInfo]) -> list[tuple[int, ContactInfo]]:
    """Contacts with their numbers: in the order in which they became friends, from 1, and never given twice, so that
    what is meant for one friend does not go to another when a third was forgotten."""
    return [(contact.order, contact) for contact in contacts]


def shown_name(number: int, contact: ContactInfo) -> str:
    """What to call a contact: the alias, else its own name, else its number."""
    return contact.alias or contact.name or f"contact {number}"


def find_contact(contacts: Sequence[ContactInfo], word: str, *, whole: bool = False) -> tuple[int, ContactInfo]:
    """The contact that ``word`` means: its number, its alias, its name, or unless the ``whole`` of it is wanted the
    first words of either; the first of these that fits any.

    Raises: NotFound, UsageError when several fit.
    """
    everyone = numbered(contacts)
    found = None
    if _is_number(word):
        found = next((one for one in everyone if str(one[0]) == word), None)
    else:
        names: list[Callable[[tuple[int, ContactInfo]], str]] = [lambda one: one[1].alias, lambda one: one[1].name]
        found = _first_fit(everyone, word, names, lambda one: f"number {one[0]}")
        if found is None and not whole:
            found = _begun(everyone, word, names, lambda one: f"number {one[0]}")
    if found is None:
        unnamed = not all(contact.alias or contact.name for contact in contacts)
        how = ", and say its number or its whole name" if whole else ""
        raise NotFound(f"no such contact: see `chattor contacts`{how}{YET_UNNAMED if unnamed else ''}")
    return found


def find_request(requests: Sequence[RequestInfo], word: str) -> RequestInfo:
    """The contact request that ``word`` means: its number, the beginning of its id, or the name in it.

    Raises: NotFound, UsageError when several fit.
    """
    found = next((one for one in requests if str(one.order) == word), None)
    found = found or _by_id(requests, word, lambda one: one.knock_id)
    if found is None and not _is_number(word):
        found = _first_fit(requests, word, [lambda one: one.name], lambda one: f"number {one.order}")
    if found is None:
        raise NotFound("no such request: see `chattor requests`")
    return found


def find_code(codes: Sequence[CodeInfo], word: str) -> CodeInfo:
    """The friend code that ``word`` means: the beginning of its id, or its label.

    Raises: NotFound, UsageError when several fit.
    """
    return _find(codes, word, lambda one: one.door_id, lambda one: one.label, "friend code", "chattor code")


def find_file(files: Sequence[TransferInfo], word: str) -> TransferInfo:
    """The file that ``word`` means: the beginning of its id, or its name.

    Raises: NotFound, UsageError when several fit.
    """
    return _find(files, word, lambda one: one.file_id, lambda one: one.name, "file", "chattor file list")


def _find(
    things: Sequence[T], word: str, ident: Callable[[T], bytes], name: Callable[[T], str], what: str, where: str
) -> T:
    found = _by_id(things, word, ident) or _first_fit(
        things, word, [name], lambda one: f"id {ident(one).hex()[:SHORT_ID]}"
    )
    if found is None:
        raise NotFound(f"no such {what}: see `{where}`")
    return found


def _by_id(things: Sequence[T], word: str, ident: Callable[[T], bytes]) -> T | None:
    """The one whose id begins so; none when several do, because then a name may still fit."""
    if len(word) < MIN_ID:
        return None
    found = [thing for thing in things if ident(thing).hex().startswith(word.lower())]
    return found[0] if len(found) == 1 else None


def _is_number(word: str) -> bool:
    """Whether it is a number and nothing else, and so no name: or somebody could take another's number for its name."""
    return word.isascii() and word.isdigit()


def _first_fit(
    things: Sequence[T], word: str, names: Sequence[Callable[[T], str]], otherwise: Callable[[T], str]
) -> T | None:
    """Try each kind of name in turn. Letter case and width never decide between two: who calls itself "bob" must not
    get what is meant for Bob."""
    wanted = _folded(word)
    for name in names:
        found = [thing for thing in things if wanted and _folded(name(thing)) == wanted]
        if found:
            return _only(found, "have this name", otherwise)
    return None


def _begun(
    things: Sequence[T], word: str, names: Sequence[Callable[[T], str]], otherwise: Callable[[T], str]
) -> T | None:
    """The one of which a name, of whichever kind, begins with these words: some end in what nobody can type."""
    wanted = _folded(word).split()
    found = [thing for thing in things if any(_folded(name(thing)).split()[: len(wanted)] == wanted for name in names)]
    return _only(found, "have names that begin so", otherwise) if found and wanted else None


def _only(found: Sequence[T], share: str, otherwise: Callable[[T], str]) -> T:
    if len(found) > 1:
        choices = ", ".join(otherwise(thing) for thing in found)
        raise UsageError(f"{len(found)} {share}: say which one by {choices}")
    return found[0]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()
