"""The inner layer: Signal's Double Ratchet (docs/protocol/session.md, Ratchet).

https://signal.org/docs/specifications/doubleratchet/ as the ``doubleratchet`` library implements it, over X25519,
HKDF-SHA-256 for the root chain, HMAC-SHA-256 for the message chains and AES-256-GCM for the messages. What is added:

- Randomness is handed in. The library draws it where it needs it, so the source of the moment is a context variable.
- It is driven synchronously: its coroutines never wait for anything.
- Message nonces are random. The specification may fix them, since a message key serves once; but a state restored
  from an old copy would use it twice, and then a fixed nonce makes a two-time pad.
- Keys of skipped messages have an age and are erased after 35 days.
- Plaintexts are padded to a size the caller chooses; broken padding fails like a broken tag, before anything changes.
- A header that claims more skipped messages than are kept is refused, where the library would warn and lose them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

import doubleratchet
from doubleratchet.models import (
    DiffieHellmanRatchetModel,
    DoubleRatchetModel,
    KDFChainModel,
    SymmetricKeyRatchetModel,
)
from doubleratchet.recommended import HashFunction, kdf_hkdf, kdf_separate_hmacs
from doubleratchet.types import SkippedMessageKeys

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.limits import MAX_SKIPPED, SKIPPED_KEY_LIFETIME
from chattor_bridge.protocol.padding import pad, unpad
from chattor_bridge.protocol.primitives import (
    KEY_SIZE,
    NONCE_SIZE,
    TAG_SIZE,
    RandomBytes,
    aead_open,
    aead_seal,
    dh,
    labelled,
    x25519_public,
)

HEADER_SIZE: Final = 40
"""Bytes of a header: ratchet key (32), length of the previous chain (u32), number in this chain (u32)."""

OVERHEAD: Final = NONCE_SIZE + TAG_SIZE
"""Bytes a ciphertext is longer than its padded plaintext."""

_HEADER = struct.Struct(">32sII")
_SKIPPED = struct.Struct(">32sI32sQ")  # ratchet key, number, message key, when it was skipped
_MAX_COUNT = 2**32 - 1

_MESSAGE_CHAIN_INPUTS = b"\x02\x01"  # Signal's constants: 2 gives the next chain key, 1 the message key

_random: ContextVar[RandomBytes] = ContextVar("the random source of the operation under way")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RatchetMessage:
    """``header`` of 40 bytes; ``ciphertext`` is nonce (12), AES-256-GCM ciphertext and tag (16)."""

    header: bytes
    ciphertext: bytes


class Ratchet:
    """One side's ratchet state. Decrypting changes it only on success."""

    def __init__(self, restore: Callable[[], _DoubleRatchet], skipped_at: dict[tuple[bytes, int], int]) -> None:
        """``restore`` is called when the state is used first: most who read a session look at something else in it."""
        self._restore = restore
        self._skipped_at = skipped_at

    @cached_property
    def _ratchet(self) -> _DoubleRatchet:
        return self._restore()

    @classmethod
    def begin_sending(
        cls, secret: bytes, peer_key: bytes, plaintext: bytes, ad: bytes, *, padded_size: int, random: RandomBytes
    ) -> tuple[Ratchet, RatchetMessage]:
        """Begin as the side that knows the other's first ratchet key, with the first message.

        ``secret`` and ``peer_key`` (X25519 public) are 32 bytes each. Raises: AuthenticationFailed on a key of
        small order.
        """
        ratchet, message = _drive(
            _DoubleRatchet.encrypt_initial_message(
                diffie_hellman_ratchet_class=_DiffieHellmanRatchet,
                root_chain_kdf=_RootChainKdf,
                message_chain_kdf=_MessageChainKdf,
                message_chain_constant=_MESSAGE_CHAIN_INPUTS,
                dos_protection_threshold=MAX_SKIPPED,
                max_num_skipped_message_keys=MAX_SKIPPED,
                aead=_Aead,
                shared_secret=secret,
                recipient_ratchet_pub=peer_key,
                message=pad(plaintext, padded_size),
                associated_data=ad,
            ),
            random,
        )
        return cls(lambda: ratchet, {}), _to_message(message)

    @classmethod
    def begin_receiving(
        cls, secret: bytes, own_key: bytes, message: RatchetMessage, ad: bytes, *, random: RandomBytes, now: int
    ) -> tuple[Ratchet, bytes]:
        """Begin as the other side, from its first ratchet private key (32 bytes, used up now) and the first message.

        Returns the state, which can send at once, and the plaintext. Raises: AuthenticationFailed, MalformedData.
        """
        try:
            ratchet, plaintext = _drive(
                _DoubleRatchet.decrypt_initial_message(
                    diffie_hellman_ratchet_class=_DiffieHellmanRatchet,
                    root_chain_kdf=_RootChainKdf,
                    message_chain_kdf=_MessageChainKdf,
                    message_chain_constant=_MESSAGE_CHAIN_INPUTS,
                    dos_protection_threshold=MAX_SKIPPED,
                    max_num_skipped_message_keys=MAX_SKIPPED,
                    aead=_Aead,
                    shared_secret=secret,
                    own_ratchet_priv=own_key,
                    message=_from_message(message),
                    associated_data=ad,
                ),
                random,
            )
        except doubleratchet.DoSProtectionException as error:
            raise AuthenticationFailed("the first message of a ratchet is not its first") from error
        state = cls(lambda: ratchet, {})
        state._note_skipped(now)
        return state, plaintext

    def encrypt(self, plaintext: bytes, ad: bytes, *, padded_size: int, random: RandomBytes) -> RatchetMessage:
        """The next message, of ``padded_size`` and 28 bytes; ``ad`` is authenticated with it and not sent.

        Raises: ValueError when the plaintext and one byte exceed ``padded_size``.
        """
        padded = pad(plaintext, padded_size)
        nonce = random(NONCE_SIZE)  # before the chain moves: a source that fails must change nothing
        return _to_message(_drive(self._ratchet.encrypt_message(padded, ad), lambda _: nonce))

    def decrypt(self, message: RatchetMessage, ad: bytes, *, random: RandomBytes, now: int) -> bytes:
        """The plaintext. ``random`` makes the next ratchet key, ``now`` dates the keys of skipped messages.

        Raises: AuthenticationFailed when this state cannot have been its receiver, or has received it before.
        MalformedData when the header has the wrong size or the padding is broken. The state is then unchanged.
        """
        try:
            plaintext = _drive(self._ratchet.decrypt_message(_from_message(message), ad), random)
        except (doubleratchet.DoSProtectionException, doubleratchet.DuplicateMessageException) as error:
            raise AuthenticationFailed("a message does not continue this ratchet") from error
        self._note_skipped(now)
        return plaintext

    def forget_old(self, now: int, *, sure: bool = False) -> bool:
        """Erase the keys of messages that were skipped 35 days ago or earlier; if ``now`` is ``sure``, those that a
        clock which was ahead has dated age from now on. Whether that changed the state."""
        ahead = {key for key, at in self._skipped_at.items() if sure and at > now}
        old = {key for key, at in self._skipped_at.items() if at + SKIPPED_KEY_LIFETIME <= now}
        for key in ahead:
            self._skipped_at[key] = now
        for key in old:
            del self._ratchet.kept[key]
            del self._skipped_at[key]
        return bool(ahead or old)

    @property
    def skipped(self) -> int:
        """How many keys of skipped messages are kept."""
        return len(self._skipped_at)

    def to_fields(self) -> dict[str, object]:
        """The state as a CBOR map; secret throughout."""
        chains = self._ratchet.chains
        symmetric = chains.symmetric_key_ratchet
        return {
            "own": chains.own_ratchet_priv,
            "peer": chains.other_ratchet_pub,
            "root": _chain_to_list(chains.root_chain),
            "sending": _chain_to_list(symmetric.sending_chain),
            "receiving": _chain_to_list(symmetric.receiving_chain),
            "previous": symmetric.previous_sending_chain_length,
            "skipped": b"".join(
                _SKIPPED.pack(*key, message_key, self._skipped_at[key])
                for key, message_key in self._ratchet.kept.items()
            ),
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Ratchet:
        """Read what `to_fields` made. Raises: MalformedData."""
        packed = fields.bytes("skipped", at_most=MAX_SKIPPED * _SKIPPED.size)
        if len(packed) % _SKIPPED.size:
            raise fields.wrong("skipped")
        skipped = list(_SKIPPED.iter_unpack(packed))
        root, sending = _chain_from_list(fields, "root"), _chain_from_list(fields, "sending")
        if root is None or sending is None:
            raise MalformedData("a stored ratchet has no sending chain")
        previous = None if fields.raw("previous") is None else fields.integer("previous", low=0, high=_MAX_COUNT)
        own, peer = fields.bytes("own", length=KEY_SIZE), fields.bytes("peer", length=KEY_SIZE)
        receiving = _chain_from_list(fields, "receiving")

        def restore() -> _DoubleRatchet:
            ratchet = _restore(_model(own, peer, root, sending, receiving, previous))
            ratchet.kept.update(((peer_key, number), key) for peer_key, number, key, _ in skipped)
            return ratchet

        return cls(restore, {(peer_key, number): at for peer_key, number, _, at in skipped})

    def _note_skipped(self, now: int) -> None:
        known = self._skipped_at
        self._skipped_at = {key: known.get(key, now) for key in self._ratchet.kept}


# --- what the library is made of -----------------------------------------------------------------------------------


class _DoubleRatchet(doubleratchet.DoubleRatchet):
    """Its name makes what the library's class of that name keeps private our own: the library hands it out only as
    models, validated key by key, which with a thousand skipped ones costs several milliseconds at every message."""

    @property
    def kept(self) -> SkippedMessageKeys:
        """The keys of skipped messages, in the order in which they were skipped; to be read and written."""
        return self.__skipped_message_keys

    @property
    def chains(self) -> DiffieHellmanRatchetModel:
        """Everything else."""
        return self.__diffie_hellman_ratchet.model

    @staticmethod
    def _build_associated_data(associated_data: bytes, header: doubleratchet.Header) -> bytes:
        return labelled("ratchet-message", [associated_data, _pack_header(header)])


class _DiffieHellmanRatchet(doubleratchet.DiffieHellmanRatchet):
    @staticmethod
    def _generate_priv() -> bytes:
        return _random.get()(KEY_SIZE)

    @staticmethod
    def _derive_pub(priv: bytes) -> bytes:
        return x25519_public(priv)

    @staticmethod
    def _perform_diffie_hellman(own_priv: bytes, other_pub: bytes) -> bytes:
        return dh(own_priv, other_pub)

    async def next_decryption_key(self, header: doubleratchet.Header) -> tuple[bytes, SkippedMessageKeys]:
        received = self.receiving_chain_length
        if received is not None and header.ratchet_pub != self.model.other_ratchet_pub:
            skipped = header.previous_sending_chain_length - received
            if skipped > MAX_SKIPPED:
                raise doubleratchet.DoSProtectionException(f"{skipped} messages of the last chain were skipped")
        return await super().next_decryption_key(header)


class _RootChainKdf(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return labelled("ratchet-root")


class _MessageChainKdf(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256


class _Aead(doubleratchet.AEAD):
    @staticmethod
    async def encrypt(plaintext: bytes, key: bytes, associated_data: bytes) -> bytes:
        nonce = _random.get()(NONCE_SIZE)
        return nonce + aead_seal(key, nonce, plaintext, associated_data)

    @staticmethod
    async def decrypt(ciphertext: bytes, key: bytes, associated_data: bytes) -> bytes:
        return unpad(aead_open(key, ciphertext[:NONCE_SIZE], ciphertext[NONCE_SIZE:], associated_data))


def _drive(coroutine: Coroutine[None, None, _T], random: RandomBytes) -> _T:
    """Run a coroutine of the library, which never waits, with this source of randomness."""
    token = _random.set(random)
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    finally:
        _random.reset(token)
    raise RuntimeError("the ratchet waits for something")


_Chain = tuple[int, bytes]
"""Length and key of a KDF chain."""


def _model(
    own: bytes, peer: bytes, root: _Chain, sending: _Chain, receiving: _Chain | None, previous: int | None
) -> DoubleRatchetModel:
    return DoubleRatchetModel(
        diffie_hellman_ratchet=DiffieHellmanRatchetModel(
            own_ratchet_priv=own,
            other_ratchet_pub=peer,
            root_chain=_chain_model(root),
            symmetric_key_ratchet=SymmetricKeyRatchetModel(
                receiving_chain=None if receiving is None else _chain_model(receiving),
                sending_chain=_chain_model(sending),
                previous_sending_chain_length=previous,
            ),
        ),
        skipped_message_keys=[],
    )


def _chain_model(chain: _Chain) -> KDFChainModel:
    return KDFChainModel(length=chain[0], key=chain[1])


def _restore(model: DoubleRatchetModel) -> _DoubleRatchet:
    return _DoubleRatchet.from_model(
        model,
        diffie_hellman_ratchet_class=_DiffieHellmanRatchet,
        root_chain_kdf=_RootChainKdf,
        message_chain_kdf=_MessageChainKdf,
        message_chain_constant=_MESSAGE_CHAIN_INPUTS,
        dos_protection_threshold=MAX_SKIPPED,
        max_num_skipped_message_keys=MAX_SKIPPED,
        aead=_Aead,
    )


def _pack_header(header: doubleratchet.Header) -> bytes:
    return _HEADER.pack(header.ratchet_pub, header.previous_sending_chain_length, header.sending_chain_length)


def _to_message(message: doubleratchet.EncryptedMessage) -> RatchetMessage:
    return RatchetMessage(_pack_header(message.header), message.ciphertext)


def _from_message(message: RatchetMessage) -> doubleratchet.EncryptedMessage:
    if len(message.header) != HEADER_SIZE:
        raise MalformedData("a ratchet header has the wrong size")
    return doubleratchet.EncryptedMessage(doubleratchet.Header(*_HEADER.unpack(message.header)), message.ciphertext)


def _chain_to_list(chain: KDFChainModel | None) -> list[object] | None:
    return None if chain is None else [chain.length, chain.key]


def _chain_from_list(fields: Fields, name: str) -> _Chain | None:
    match fields.raw(name):
        case None:
            return None
        case [int(length), bytes(key)] if 0 <= length <= _MAX_COUNT and len(key) == KEY_SIZE:
            return length, key
        case _:
            raise fields.wrong(name)
