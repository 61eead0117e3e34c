"""Two owners make sure that nobody stands between them. Implements docs/protocol/verification.md.

Database work only, in the transaction of whatever led to it. What goes out is returned as bodies of events; whoever
calls seals them with the session at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.node.happenings import EMOJI_INVITED, EMOJI_READY, VERIFICATION_FAILED, VERIFICATION_MATCHED
from chattor_bridge.node.records import Contact, Role
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Emoji, Verification
from chattor_bridge.protocol.events import (
    Unknown,
    VerifyAccept,
    VerifyDone,
    VerifyEvent,
    VerifyKey,
    VerifyStart,
)
from chattor_bridge.protocol.limits import VERIFICATION_ID_SIZE
from chattor_bridge.protocol.primitives import KEY_SIZE, x25519_public
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.verification import Run, Step, safety_number


@dataclass(frozen=True, slots=True)
class Turn:
    """What a step led to: the contact as it is to be stored, what is to be said to the friend, and what our owner is
    to be shown."""

    contact: Contact
    said: tuple[VerifyEvent, ...] = ()
    notice: Unknown | None = None


def number_of(contact: Contact) -> str:
    """The safety number of a friendship, 60 digits."""
    ours, theirs = x25519_public(contact.own_static), contact.peer_static
    knocker, owner = (ours, theirs) if contact.role is Role.KNOCKER else (theirs, ours)
    return safety_number(knocker, owner, Session.deserialize(contact.session).transcript)


def state_of(contact: Contact) -> Verification:
    """What was found. A number that was compared counts only for as long as it is the friendship's."""
    if contact.mismatch:
        return Verification.MISMATCH
    if contact.verified is not None and contact.verified == number_of(contact):
        return Verification.VERIFIED
    return Verification.NONE


class Verifying:
    """The comparing of emoji with every friend of one node."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def emoji_of(self, contact: Contact) -> Emoji | None:
        """The emoji to compare now, if there are any."""
        run = self._run(contact)
        return run.emoji(number_of(contact)) if run is not None and run.step is Step.COMPARING else None

    def begin(self, contact: Contact) -> Turn:
        """Our owner wants to compare emoji: ask the friend, or agree to what the friend asked."""
        run = self._run(contact)
        if run is None:
            run = Run(self._around.random(VERIFICATION_ID_SIZE), Step.ASKED, self._around.clock.now())
            return Turn(_keep(contact, run), (VerifyStart(run.run_id),))
        return self._agree(contact, run) if run.step is Step.INVITED else Turn(contact)

    def confirm(self, contact: Contact, *, match: bool) -> Turn:
        """Our owner has compared: the emoji, if there are some, or else the safety number."""
        run = self._run(contact)
        found = replace(contact, verified=number_of(contact) if match else None, mismatch=not match)
        if run is None or run.step is not Step.COMPARING:
            return Turn(found)
        return Turn(replace(found, verification=None), (VerifyDone(run.run_id, match),))

    def take(self, contact: Contact, event: VerifyEvent) -> Turn:
        """What the friend's node says. Raises: AuthenticationFailed, MalformedData when that is not its turn, or is
        not what it had committed to; `abandon` the run then."""
        run = self._run(contact)
        match event:
            case VerifyStart():
                return self._invited(contact, run, event)
            case VerifyDone(_, False):
                return self.abandon(contact)
        if run is None or run.run_id != event.run_id:
            return Turn(contact)  # of a run that is over
        match event:
            case VerifyAccept(_, commitment):
                run, key = run.take_commitment(commitment, self._around.random(KEY_SIZE))
                return Turn(_keep(contact, run), (VerifyKey(run.run_id, key),))
            case VerifyKey(_, key):
                run, ours = run.take_key(key)
                said = () if ours is None else (VerifyKey(run.run_id, ours),)
                shown = [list(pair) for pair in run.emoji(number_of(contact))]
                return Turn(_keep(contact, run), said, Unknown(EMOJI_READY, {"emoji": shown}))
            case VerifyDone():
                ours_to_find = run.step is Step.COMPARING
                return Turn(contact, notice=Unknown(VERIFICATION_MATCHED, {}) if ours_to_find else None)

    def abandon(self, contact: Contact) -> Turn:
        """A comparison has failed, whoever says so: what was found before does not count any more."""
        lost = replace(contact, verified=None, mismatch=True, verification=None)
        return Turn(lost, notice=Unknown(VERIFICATION_FAILED, {}))

    def _invited(self, contact: Contact, run: Run | None, start: VerifyStart) -> Turn:
        invited = Run(start.run_id, Step.INVITED, self._around.clock.now())
        if run is None or run.step is Step.INVITED:
            return Turn(_keep(contact, invited), notice=Unknown(EMOJI_INVITED, {}))
        if run.step is Step.ASKED and start.run_id < run.run_id:
            return self._agree(contact, invited)  # both asked: the lower id counts, and both owners have agreed
        return Turn(contact)

    def _agree(self, contact: Contact, run: Run) -> Turn:
        run, commitment = run.agree(self._around.random(KEY_SIZE))
        return Turn(_keep(contact, run), (VerifyAccept(run.run_id, commitment),))

    def _run(self, contact: Contact) -> Run | None:
        """The run under way, unless it has waited too long."""
        if contact.verification is None:
            return None
        run = Run.decode(contact.verification)
        return None if run.over(self._around.clock.now()) else run


def _keep(contact: Contact, run: Run) -> Contact:
    return replace(contact, verification=run.encode())


REFUSED: Final = (AuthenticationFailed, MalformedData)
"""What `Verifying.take` raises when the friend's node does not keep to the rules."""
