"""Polls (MSC3381): Matrix's contents, in their stable and their unstable form, from and to `Poll`.

What clients know best is still the unstable form, so a friend's poll is shown in that; whatever answers or ends a poll
comes in the form in which the poll was begun. In Matrix an answer has an id, in the protocol a number: of a poll that
is linked, its `EventLink.detail` holds the ids in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.ghosts import MARK_KEY
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import UsageError
from chattor_bridge.protocol.events import Poll
from chattor_bridge.protocol.limits import MAX_ANSWER, MAX_ANSWERS, MAX_QUESTION

UNSTABLE: Final = "org.matrix.msc3381.poll"
_UNSTABLE_TEXT: Final = "org.matrix.msc1767.text"

STARTS: Final = ("m.poll.start", f"{UNSTABLE}.start")
RESPONSES: Final = ("m.poll.response", f"{UNSTABLE}.response")
ENDS: Final = ("m.poll.end", f"{UNSTABLE}.end")

NO_POLL = "it is no poll that I can read."
TOO_MANY_ANSWERS = f"a poll can have {MAX_ANSWERS} answers at most."
TOO_LONG = f"the question of a poll can have {MAX_QUESTION} bytes, and each answer {MAX_ANSWER}."


def poll_in(kind: str, body: JsonObject) -> tuple[Poll, JsonObject]:
    """The poll an event of type ``kind`` begins, and the detail for its link. Raises: UsageError."""
    stable = kind == STARTS[0]
    start: Any = body.get("m.poll" if stable else STARTS[1])
    if not isinstance(start, dict) or not isinstance(start.get("answers"), list):
        raise UsageError(NO_POLL)
    question = _text(start.get("question"))
    ids, answers = [], []
    for answer in start["answers"]:
        ident = (answer.get("m.id") or answer.get("id")) if isinstance(answer, dict) else None
        text = _text(answer)
        if not isinstance(ident, str) or not text or ident in ids:
            raise UsageError(NO_POLL)
        ids.append(ident)
        answers.append(text)
    if not question or not answers:
        raise UsageError(NO_POLL)
    if len(answers) > MAX_ANSWERS:
        raise UsageError(TOO_MANY_ANSWERS)
    if len(question.encode()) > MAX_QUESTION or any(len(answer.encode()) > MAX_ANSWER for answer in answers):
        raise UsageError(TOO_LONG)
    most = start.get("max_selections", 1)
    choices = min(most, len(answers)) if type(most) is int and most > 0 else 1
    # whatever is not said to be open is closed, as clients read it
    disclosed = start.get("kind") in ("m.disclosed", f"{UNSTABLE}.disclosed")
    return Poll(question, tuple(answers), choices, disclosed), _detail(ids, choices, stable)


def detail_of(poll: Poll) -> JsonObject:
    """The detail for the link of a poll that we show: its answers are called by their numbers."""
    return _detail([str(number) for number in range(len(poll.answers))], poll.choices, stable=False)


def _detail(ids: Sequence[str], choices: int, stable: bool) -> JsonObject:
    return {"answers": list(ids), "choices": choices, "stable": stable}


def choices_in(detail: JsonObject, body: JsonObject) -> tuple[int, ...]:
    """The numbers of the answers that a response chooses. One that names an answer the poll does not have chooses
    nothing, and what is chosen beyond what the poll allows does not count."""
    old = body.get(RESPONSES[1])
    chosen: Any = body.get("m.selections", old.get("answers") if isinstance(old, dict) else None)
    ids: list[str] = detail["answers"]
    if not isinstance(chosen, list) or any(one not in ids for one in chosen):
        return ()
    return tuple(sorted({ids.index(one) for one in list(dict.fromkeys(chosen))[: detail["choices"]]}))


def is_void(detail: JsonObject, choices: Sequence[int]) -> bool:
    """Whether a friend's vote names what the poll does not have, or more than it allows."""
    return len(choices) > detail["choices"] or any(choice >= len(detail["answers"]) for choice in choices)


def start(poll: Poll, mark: str) -> tuple[str, JsonObject]:
    """Type and content of the Matrix event that shows a friend's poll."""
    listed = "\n".join(f"{number}. {answer}" for number, answer in enumerate(poll.answers, 1))
    ids = detail_of(poll)["answers"]
    return STARTS[1], {
        _UNSTABLE_TEXT: f"{poll.question}\n{listed}",
        STARTS[1]: {
            "kind": f"{UNSTABLE}.{'disclosed' if poll.disclosed else 'undisclosed'}",
            "max_selections": poll.choices,
            "question": {_UNSTABLE_TEXT: poll.question, "body": poll.question, "msgtype": "m.text"},
            "answers": [{"id": ident, _UNSTABLE_TEXT: answer} for ident, answer in zip(ids, poll.answers, strict=True)],
        },
        "m.mentions": {},
        MARK_KEY: mark,
    }


def response(detail: JsonObject, target: str, choices: Sequence[int], mark: str) -> tuple[str, JsonObject]:
    """Type and content of a friend's vote."""
    chosen = [detail["answers"][choice] for choice in choices]
    said: JsonObject = {"m.selections": chosen} if detail["stable"] else {RESPONSES[1]: {"answers": chosen}}
    return RESPONSES[0 if detail["stable"] else 1], {**said, "m.relates_to": _reference(target), MARK_KEY: mark}


def end(detail: JsonObject, target: str, mark: str) -> tuple[str, JsonObject]:
    """Type and content of the end of a friend's poll. Clients count the votes; the text is for those that know no
    polls."""
    text = "The poll is over."
    said: JsonObject = {"m.text": [{"body": text}]} if detail["stable"] else {_UNSTABLE_TEXT: text, ENDS[1]: {}}
    content = {**said, "body": text, "m.relates_to": _reference(target), MARK_KEY: mark}
    return ENDS[0 if detail["stable"] else 1], content


def in_words(poll: Poll) -> str:
    """A poll as CommonMark, for a friend whose program knows none."""
    answers = "\n".join(f"{number}. {literal(answer)}" for number, answer in enumerate(poll.answers, 1))
    how = "Answer with a number." if poll.choices == 1 else f"Answer with up to {poll.choices} numbers."
    return f"**{literal(poll.question)}**\n\n{answers}\n\n{how}"


def _reference(target: str) -> JsonObject:
    return {"rel_type": "m.reference", "event_id": target}


def _text(block: object) -> str:
    """The plain text of an extensible event's block."""
    if not isinstance(block, dict):
        return ""
    new = block.get("m.text")
    if isinstance(new, list):
        for one in new:
            if isinstance(one, dict) and one.get("mimetype", "text/plain") == "text/plain":
                return str(one.get("body", "")).strip()
    text = block.get(_UNSTABLE_TEXT, block.get("body"))
    return text.strip() if isinstance(text, str) else ""
