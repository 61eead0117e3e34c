"""Which contact, request or code a word means, and that a word that could mean two is refused."""

from __future__ import annotations

import pytest

from chattor_bridge.errors import NotFound, UsageError
from chattor_bridge.ids import DoorId, KnockId, PeerId
from chattor_bridge.node.views import CodeInfo, ContactInfo, RequestInfo
from chattor_bridge.terminal.addressing import find_code, find_contact, find_request, numbered, shown_name


def contact(ident: int, name: str, alias: str = "", created_at: int | None = None) -> ContactInfo:
    return ContactInfo(
        PeerId(bytes([ident]) * 16),
        name,
        alias,
        online=False,
        queued=0,
        created_at=ident if created_at is None else created_at,
        order=ident,
    )


def request(order: int, ident: str, name: str) -> RequestInfo:
    knock_id = KnockId(bytes.fromhex(ident.ljust(32, "0")))
    return RequestInfo(knock_id, name, "", "", 0, ignored=False, effort=0, order=order)


def code(ident: str, label: str) -> CodeInfo:
    return CodeInfo(DoorId(bytes.fromhex(ident.ljust(32, "0"))), label, "chattor:x", 0, published=True)


FRIENDS = [
    contact(1, "Bob"),
    contact(2, "Alice", alias="Al"),
    contact(3, "alice"),
    contact(4, "Ødegård"),
    contact(5, ""),
]


@pytest.mark.parametrize(
    ("word", "number"),
    [("1", 1), ("5", 5), ("Bob", 1), ("bob", 1), (" BOB ", 1), ("al", 2), ("ødegård", 4), ("\uff22\uff2f\uff22", 1)],
)
def test_a_contact_is_meant_by_number_alias_or_name(word: str, number: int) -> None:
    assert find_contact(FRIENDS, word) == (number, FRIENDS[number - 1])


def test_a_name_that_two_share_is_refused_and_the_numbers_are_said() -> None:
    with pytest.raises(UsageError, match=r"2 have this name: say which one by number 2, number 3"):
        find_contact(FRIENDS, "alice")


def test_letter_case_never_decides_between_two() -> None:
    with pytest.raises(UsageError, match="2 have this name"):
        find_contact([contact(1, "Bob"), contact(2, "bob")], "bob")


def test_the_alias_our_owner_gave_counts_before_a_name_that_a_friend_took() -> None:
    friends = [contact(1, "Robert", alias="Bob"), contact(2, "Bob")]
    assert find_contact(friends, "Bob")[0] == 1


@pytest.mark.parametrize("word", ["", "  ", "nobody", "0", "6", "-1", "99999999999999999999"])
def test_what_fits_nobody_is_not_found(word: str) -> None:
    with pytest.raises(NotFound, match="no such contact"):
        find_contact(FRIENDS, word)


def test_that_a_friend_has_not_told_its_name_yet_is_said_and_only_then() -> None:
    with pytest.raises(NotFound, match="goes by its number until it has been online"):
        find_contact([contact(1, "Bob"), contact(2, "")], "Carl")
    with pytest.raises(NotFound, match=r"see `chattor contacts`$"):
        find_contact([contact(1, "Bob"), contact(2, "", alias="Al")], "Carl")


def test_a_friend_cannot_take_a_number_for_its_name() -> None:
    with pytest.raises(NotFound):
        find_contact([contact(1, "Bob"), contact(2, "3")], "3")


def test_a_number_stays_with_its_friend_when_another_is_forgotten() -> None:
    everyone = [contact(1, "first", created_at=2), contact(2, "second", created_at=1), contact(3, "third")]
    assert numbered(everyone) == [(1, everyone[0]), (2, everyone[1]), (3, everyone[2])]
    assert numbered(everyone[1:]) == [(2, everyone[1]), (3, everyone[2])]


FISH = [
    contact(1, "Bob 🐟 from the lake"),
    contact(2, "Alice Ash", alias="Al"),
    contact(3, "Alice Elm"),
    contact(4, "Al"),
]


@pytest.mark.parametrize(
    ("word", "number"),
    [("Bob", 1), ("bob  🐟", 1), ("ALICE ash", 2), ("al", 2), ("alice elm", 3)],
)
def test_the_first_words_of_a_name_are_enough_where_no_other_begins_so(word: str, number: int) -> None:
    assert find_contact(FISH, word)[0] == number


def test_where_two_names_begin_so_the_numbers_are_said() -> None:
    with pytest.raises(UsageError, match=r"2 have names that begin so: say which one by number 2, number 3"):
        find_contact(FISH, "alice")


@pytest.mark.parametrize("word", ["B", "Bo", "Bob 🐟 from the lak", "🐟", "Bob the", "Bob 🐟 from the lake district"])
def test_a_part_of_a_word_is_not_enough(word: str) -> None:
    with pytest.raises(NotFound):
        find_contact(FISH, word)


def test_what_cannot_be_undone_wants_the_whole_name_or_label() -> None:
    """Said a second time, it would be done to the next whose name begins so."""
    with pytest.raises(NotFound, match="whole name"):
        find_contact(FISH, "Bob", whole=True)
    assert find_contact(FISH, "Bob 🐟 from the lake", whole=True)[0] == 1
    with pytest.raises(NotFound, match="no such request"):
        find_request([request(1, "abcd", "Bob the stranger")], "Bob")
    with pytest.raises(NotFound, match="no such friend code"):
        find_code([code("aa00", "work at home")], "work")


def test_what_a_contact_is_called() -> None:
    assert shown_name(2, contact(2, "Alice", alias="Al")) == "Al"
    assert shown_name(2, contact(2, "Alice")) == "Alice"
    assert shown_name(2, contact(2, "")) == "contact 2"


def test_a_request_is_meant_by_its_number_its_id_or_the_name_in_it() -> None:
    requests = [request(3, "abcd11", "Bob"), request(1, "abcd22", "Eve"), request(2, "0123", "Bob")]
    assert [find_request(requests, str(number)) for number in (1, 2, 3)] == [requests[1], requests[2], requests[0]]
    assert find_request(requests, "0123") is requests[2]
    assert find_request(requests, "abcd1") is requests[0]
    assert find_request(requests, "ABCD22") is requests[1]
    assert find_request(requests, "eve") is requests[1]
    with pytest.raises(UsageError, match="say which one by number 3, number 2"):
        find_request(requests, "bob")
    for word in ("abcd", "abc", "", "nobody", "4", "9" * 5_000):
        with pytest.raises(NotFound, match="no such request"):
            find_request(requests, word)


def test_who_asks_cannot_take_the_number_of_another_for_a_name() -> None:
    with pytest.raises(NotFound, match="no such request"):
        find_request([request(2, "abcd11", "1")], "1")


def test_a_code_is_meant_by_its_id_or_its_label() -> None:
    codes = [code("aa00", "work"), code("bb00", ""), code("cc00", "")]
    assert find_code(codes, "Work") is codes[0]
    assert find_code(codes, "bb00") is codes[1]
    for word in ("", "dd00"):
        with pytest.raises(NotFound, match="no such friend code"):
            find_code(codes, word)
