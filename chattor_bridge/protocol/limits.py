"""Every bound of friend code, knock and session, with its unit and its reason (docs/protocol/limits.md)."""

from __future__ import annotations

from typing import Final

MAX_FRAME: Final = 65_535
"""Bytes of one length-prefixed message on a stream: what its u16 length can say, and what Noise allows."""

MAX_CBOR_DEPTH: Final = 8
"""Nested arrays and maps. The deepest structure of this version needs four; the decoder's stack stays bounded."""

# --- friend code ---------------------------------------------------------------------------------------------------

MAX_CODE_TEXT: Final = 256
"""Characters of what a person may type as a friend code, spaces and line breaks included: four times a code."""

# --- knock ---------------------------------------------------------------------------------------------------------

MAX_NAME: Final = 64
"""Bytes (UTF-8) of a profile name: one line of a contact list."""

MAX_NOTE: Final = 1_000
"""Bytes (UTF-8) of the note of a knock: a paragraph, so a stranger can introduce himself and not publish."""

MAX_CAPABILITIES: Final = 32
"""Capability names in one list. Version 1 defines far fewer; room for ten years."""

MAX_CAPABILITY_NAME: Final = 32
"""Bytes of one capability name, ``a-z 0-9 . -``."""

MAX_VERSIONS: Final = 16
"""Protocol versions in one list."""

MAX_VERSION: Final = 65_535
"""Highest version number the formats have room for."""

BUNDLE_LIFETIME: Final = 300
"""Seconds a door bundle may be answered, on the door's own clock: several slow Tor circuits and the work."""

CLOCK_TOLERANCE: Final = 86_400
"""Seconds a door's clock may differ from the knocker's. More means a broken clock or a bundle kept for replay."""

MAX_WORK_BITS: Final = 24
"""Leading zero bits a knocker is willing to find: 2^24 hashes are about a minute of one core. A door that asks for
more is refused, for it would only burn the knocker's battery."""

INTRODUCTION_SIZE: Final = 4_096
"""Bytes of the padded introduction: holds the largest one, so that the size of a knock tells nothing."""

RECEIPT_SIZE: Final = 64
"""Bytes of the padded receipt: every status has the same size on the wire."""

# --- session -------------------------------------------------------------------------------------------------------

ENVELOPE_SIZES: Final = (1_000, 4_000, 16_000)
"""Bytes an envelope can have, everything included. With a frame head and a Noise tag they fit the link's padded
sizes 1,024, 4,096 and 18,432; whole envelopes pack into a carrier's block of 16,384."""

MAX_INNER: Final = 15_000
"""Bytes of an encoded event in an envelope. With the largest header and acknowledgement it still fits 16,000."""

MAX_SEQ: Final = 2**63 - 1
"""Highest sequence number: what a signed 64-bit database column holds."""

MAX_SKIPPED: Final = 1_000
"""Messages that may be missing below the highest one accepted, and so message keys kept for later (Signal's bound).
An envelope that would make it more is refused unread, and is not acknowledged, so its sender comes again in order."""

MAX_RANGES: Final = 32
"""Separate runs of sequence numbers accepted past the first gap, and so ranges in one acknowledgement."""

SKIPPED_KEY_LIFETIME: Final = 35 * 86_400
"""Seconds a skipped message key is kept: five days longer than a sender tries (30 days)."""
