"""Every bound of the protocol, with its unit and its reason (docs/protocol/limits.md)."""

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

MAX_AVATAR: Final = 12_000
"""Bytes of the picture in a profile: a face of 96 by 96 dots, and it fits one envelope with the name."""

MAX_NOTE: Final = 1_000
"""Bytes (UTF-8) of the note of a knock: a paragraph, so a stranger can introduce himself and not publish."""

MAX_CAPABILITIES: Final = 48
"""Capability names in one list: version 1 has about half as many, and the longest offer fits a hello."""

MAX_CAPABILITY_NAME: Final = 32
"""Bytes of one capability name, ``a-z 0-9 . _ -``."""

MAX_VERSIONS: Final = 16
"""Protocol versions in one list."""

MAX_VERSION: Final = 65_535
"""Highest version number the formats have room for."""

BUNDLE_LIFETIME: Final = 300
"""Seconds a door bundle may be answered, on the door's own clock: several slow Tor circuits and the work."""

CLOCK_TOLERANCE: Final = 86_400
"""Seconds a door's clock may differ from the knocker's. More means a broken clock or a bundle kept for replay."""

MAX_WORK_BITS: Final = 24
"""Leading zero bits a knocker is willing to find: 2^24 hashes take one core about half a minute. A door that asks for
more is refused, for it would only burn the knocker's battery."""

PROOF_MEMORY: Final = 8_388_608
"""Bytes of memory of one argon2id of a proof (8 MiB): a phone has them, and a core needs several milliseconds."""

MAX_EFFORT_BITS: Final = 10
"""Effort a knocker is willing to find: 2^10 argon2id take one core about ten seconds."""

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

EPOCH_MESSAGES: Final = 50
"""Events under one epoch, either way, after which the next is offered: the two events of a negotiation, of 4,000 bytes
each, cost less than a tenth of what they protect."""

EPOCH_LIFETIME: Final = 7 * 86_400
"""Seconds after which the next epoch is offered however little was said: a week of talk at most falls with a key."""

EPOCH_KEY_LIFETIME: Final = 35 * 86_400
"""Seconds a receive key is kept after the friend has been seen to seal under a later one: five days longer than a
sender tries (30 days), which is longer than a carrier holds (21 days)."""

MAX_LIVE_EPOCHS: Final = 64
"""Epochs whose receive keys are kept at a time: with at most 1,000 events past a gap honest friends come to 20; each
costs a try at every envelope that opens under none."""

RESYNC_INTERVAL: Final = 86_400
"""Seconds between two resyncs of a friendship: two copies of one node that take turns, or a friend who wants to keep a
node busy, get one a day; and a person who is told of each can act before the next."""

MAX_RESYNC_CANDIDATES: Final = 4
"""Sessions kept beside the one in use, of resyncs whose end was not heard of: one for each link that may be up."""

VERIFICATION_ID_SIZE: Final = 16
"""Bytes of the id of one comparing of emoji: random ones never meet."""

RETIRE_PATIENCE: Final = 604_800
"""Seconds for which a friend may still come and hear that our owner has ended the friendship (7 days)."""

VERIFICATION_LIFETIME: Final = 600
"""Seconds one comparing of emoji may take: both people are there, talking to each other, as in Matrix."""

# --- events --------------------------------------------------------------------------------------------------------

EVENT_ID_SIZE: Final = 16
"""Bytes of an event id: random ones never meet."""

MAX_TEXT: Final = 14_000
"""Bytes (UTF-8) of one text event: `MAX_INNER` less room for id, time, relations and what later versions add."""

MAX_EVENT_TYPE: Final = 32
"""Bytes of the name of an event type or of a kind of receipt."""

MAX_RECEIPT_EVENTS: Final = 40
"""Event ids in one receipt: with the common fields it fits the smallest envelope."""

MAX_REACTION: Final = 64
"""Bytes (UTF-8) of one reaction: the longest emoji have 35, and some people react with a word."""

MAX_QUESTION: Final = 2_000
"""Bytes (UTF-8) of the question of a poll: a paragraph."""

MAX_ANSWERS: Final = 20
"""Answers of one poll, as many as Matrix has."""

MAX_ANSWER: Final = 500
"""Bytes (UTF-8) of one answer of a poll: with question and all answers a poll fits one envelope."""

MAX_LATITUDE: Final = 90_000_000
"""Highest latitude, north or south, in degrees times 1,000,000: the last digit is a decimetre."""

MAX_LONGITUDE: Final = 180_000_000
"""Highest longitude, east or west, in degrees times 1,000,000."""

MAX_ACCURACY: Final = 20_038_000
"""Metres by which a place may be off: the other side of the earth."""

MAX_PLACE: Final = 1_000
"""Bytes (UTF-8) of what a place is called."""

MAX_TIMER: Final = 31_622_400
"""Seconds after which a message may be made to disappear, at most: 366 days."""

MAX_TIMER_ROUND: Final = 4_294_967_295
"""Highest number of a timer: more than two people can set one after the other."""

MAX_TIMER_STEP: Final = 1_000
"""By how much the number of a timer may exceed the highest one known: many more than can be lost on the way, and too
few to use all numbers up."""

MAX_TIME: Final = 253_402_300_799
"""Highest event time, in seconds since the epoch: the end of the year 9999, where calendars of programs end."""

MAX_QUEUED: Final = 10_000
"""Envelopes that may wait for one friend: weeks of lively talk to somebody who is away, at most 160 MB on disk."""

QUEUED_LIFETIME: Final = 30 * 86_400
"""Seconds for which what is said to somebody who cannot be reached is kept on its way (30 days): longer than a carrier
holds it, and whoever comes back later is told anew what still matters."""

DAILY_ALLOWANCE: Final = 160_000_000
"""Bytes of envelopes of one friend that are stored in a day before it is read more slowly: everything that may have
waited for us on its disk, so that an honest friend is never held back."""

COSTLY: Final = 160_000
"""Bytes that an event counts for in the `DAILY_ALLOWANCE` where dealing with it costs much more than storing it:
another name, another onion, a claim that two friendships are one, a word about carrying. Nobody has a thousand of them
in a day."""

MAX_REMEMBERED: Final = 100_000
"""Event ids remembered of one friend, the newest, so that none counts twice: some 10 MB. What a friend sends again it
has not seen acknowledged, and of that at most `MAX_QUEUED` events wait."""

MAX_HISTORY_SIZE: Final = 1_000_000_000
"""Bytes of what one friend said that a program with a history keeps, the newest: more than anybody says in a lifetime.
Its owner is told when something has to go."""

MAX_HELD: Final = 1_000
"""Events kept past a gap, per friend. The next one is not acknowledged, so its sender keeps it."""

# --- files ---------------------------------------------------------------------------------------------------------

FILE_ID_SIZE: Final = 16
"""Bytes of the id of an offered file: random ones never meet."""

CHUNK_SIZE: Final = 61_440
"""Bytes of every chunk of a file but the last: with its proof it fits the longest message Noise has."""

CHUNKS_OF_GROUP: Final = 16
"""Chunks of one group, a subtree of its own: what the side that offers reads and hashes at a time (960 KiB), so that it
keeps 32 bytes for each of these and no hash of a chunk."""

MAX_FILE_SIZE: Final = 2**36
"""Bytes of one file (64 GiB): a week at a bad circuit's pace. What must be kept of it stays at a few megabytes."""

FILE_SIZES: Final = (1_024, 62_464)
"""Bytes a Noise message on a file stream can have, tag included: one for everything that is said, and one for a chunk
with its proof, so that padding costs a sixtieth."""

MAX_CHUNKS_WANTED: Final = 128
"""Chunks asked for on one stream and not come: 7.5 MiB, which fills a circuit of five megabytes and a second and a
half."""

MAX_FILE_STREAMS: Final = 8
"""Streams at a time that carry files of one friendship: two files on several circuits, or eight files."""

FILE_STREAM_TIMEOUT: Final = 150
"""Seconds in which nothing comes that should, after which a file stream is dead: as `LINK_TIMEOUT`."""

MAX_FILE_NAME: Final = 255
"""Bytes (UTF-8) of the name of a file: what file systems allow."""

MAX_MIME_TYPE: Final = 127
"""Bytes of a media type: either half may have 63 by common practice, and a slash."""

MAX_CAPTION: Final = 4_000
"""Bytes (UTF-8) of the text beside a file: with a thumbnail and all else it fits an event."""

MAX_PIXELS: Final = 65_535
"""Highest width or height of an image, in pixels: what common formats have room for."""

MAX_DURATION: Final = 604_800_000
"""Highest duration of a recording, in milliseconds: a week."""

MAX_WAVEFORM: Final = 100
"""Values in a waveform: as many bars as a screen shows."""

WAVEFORM_PEAK: Final = 1_024
"""Highest value in a waveform: Matrix's own."""

MAX_BLURHASH: Final = 128
"""Characters of a blurhash: nine components each way, and room."""

MAX_THUMBNAIL: Final = 8_000
"""Bytes of the picture inside an offer: enough to see what it is, and it fits an event with all else."""

MAX_OFFERS: Final = 1_000
"""Files of one friendship, either way, that are offered or under way: the next is cancelled (``too-many``)."""

OFFER_LIFETIME: Final = 30 * 86_400
"""Seconds after which a file that was offered and has not gone over is given up: as long as a sender tries."""

SLICE_SIZE: Final = 14_000
"""Bytes of every slice of a sealed file but the last: an event less room for what later versions add, as a text."""

MAX_SLICE_NUMBER: Final = 65_535
"""Highest number of a slice: 900 MB, more than any version will leave at a carrier."""

MAX_SLICED_FILE: Final = 1_048_576
"""Bytes of a file that may go in envelopes (1 MiB): 75 slices, of the 128 blocks of a shelf."""

MAX_SLICES_WAITING: Final = 96
"""Slices that wait for one friend: three quarters of a shelf, so that there is room for what is said beside them."""

MAX_SLICED_AGAIN: Final = 16
"""Files of one friendship that are put into the outbox in slices once more, a day: an honest friend lacks room for a
few at a time, and each is a megabyte to leave."""

MAX_SLICES_KEPT: Final = 512
"""Slices of files of one friend that are kept and not put together: five times what it has on its way, 7 MB."""

# --- link ----------------------------------------------------------------------------------------------------------

LINK_SIZES: Final = (1_024, 4_096, 18_432, 65_535)
"""Bytes a Noise message of a link can have, tag included: an envelope of each size with its frame head, and the
longest message Noise has."""

HANDSHAKE_SIZE: Final = 1_024
"""Bytes of each handshake message of a link, padded: the first looks the same whichever pattern it follows."""

SESSION_ID_SIZE: Final = 16
"""Bytes of a session id in a hello: enough that two sessions of one friendship never share one."""

MAX_EPOCH: Final = 2**32 - 1
"""Highest post-quantum epoch: at one every fifty messages, more than a lifetime's."""

MAX_HELLO: Final = 2_048
"""Bytes of an encoded hello: the longest lists of versions and capabilities, and room to add to it."""

MAX_ONIONS_FRAME: Final = 1_000
"""Bytes of an encoded onions frame: two keys, and room to add to it."""

DIGEST_SIZE: Final = 16
"""Bytes of the digests in hellos and acknowledgements by which a friend knows its own envelopes again: enough that two
different ones never have the same."""

MAX_RESYNC: Final = 2_048
"""Bytes of a frame of a resync: an ML-KEM key or ciphertext, an X25519 key, a ratchet message, and room to add."""

MAX_SIGNAL: Final = 1_000
"""Bytes of one signal: with its head it fits the smallest link message."""

SIGNAL_PAUSE: Final = 2
"""Seconds between two signals of one type: nobody sees more of somebody who types than this."""

SIGNAL_BURST: Final = 12
"""Signals of a friend that are looked at in one go: several of each type, for a link that stood still and goes on."""

TYPING_REPEAT: Final = 10
"""Seconds after which a person who still types is said to type again."""

TYPING_LIFETIME: Final = 30
"""Seconds after which a person who was said to type has stopped: two repetitions may be late."""

MAX_BYE_REASON: Final = 32
"""Bytes of the reason of a bye, a word of ``a-z -``."""

KEEPALIVE_INTERVAL: Final = 60
"""Seconds without sending after which a keep-alive is sent: below the time after which proxies and tor let a silent
stream go, above what would keep a phone's radio awake."""

LINK_TIMEOUT: Final = 150
"""Seconds without receiving after which a link is taken for dead: two keep-alives missed, and room for a slow
circuit."""

HANDSHAKE_TIMEOUT: Final = 60
"""Seconds from the opening of a stream to an established link, and from there to the friend's hello: a slow onion
circuit takes ten."""

# --- node ----------------------------------------------------------------------------------------------------------

WORK_BITS: Final = 16
"""Leading zero bits a door asks of a knocker: 2^16 hashes are a tenth of a second for one knock, hours of a core for a
flood. It protects what checks the proof."""

EFFORT_BITS: Final = 4
"""Effort a door asks of a knocker: 2^4 argon2id are a fifth of a second. Whoever is told ``full`` may offer more."""

MAX_PROOFS_PER_SECOND: Final = 4
"""Proofs that one node checks in any second, one at a time: a twentieth of a core, however many knock."""

MAX_PROOFS_WAITING: Final = 16
"""Knocks whose proof waits to be checked: four seconds' worth. The next one finds the stream closed and comes again."""

MAX_PENDING_KNOCKS: Final = 100
"""Requests waiting for one node's owner: more than a person reads. The next one takes the place of the one with the
least effort, or is told ``full`` and comes again."""

MAX_OUTGOING_KNOCKS: Final = 20
"""Requests of one node that wait for an answer: each one hosts an onion."""

MAX_KNOCK_ATTEMPTS: Final = 4
"""Attempts of one knock whose sessions are kept: the owner may accept any whose receipt was lost."""

KNOCK_LIFETIME: Final = 30 * 86_400
"""Seconds a request waits, at its door and with its sender: whoever wanted to answer has."""

MAX_CODE_USES: Final = 1_000
"""Requests that a friend code may be bounded to: more is no bound."""

MAX_CODE_LIFETIME: Final = 366 * 86_400
"""Seconds after which a friend code may be made to expire: a year, and nobody remembers why."""

MAX_ROTATION_GRACE: Final = 7 * 86_400
"""Seconds the old code stays open after a rotation: a week, for those who have it on paper."""

USED_UP_GRACE: Final = 86_400
"""Seconds the door of a used-up code stays, for those who knocked there and come again because their receipt was lost;
all others are told ``closed``."""

DOOR_STREAM_TIMEOUT: Final = 120
"""Seconds a stream at a door may take from start to end: slow circuits, the stamp, and the publication of the
knocker's own onion, which it awaits before it knocks."""

MAX_DOOR_STREAMS: Final = 32
"""Streams open at one door. The oldest makes room for the next: an honest knock is done in seconds, and whoever wants
to keep others out must keep coming."""

MAX_UNPROVEN_STREAMS: Final = 8
"""Streams to one friend's onion whose other end has not shown yet, by its hello, who it is and that it is there now;
the oldest makes room for the next."""

MAX_IN_FLIGHT: Final = 64
"""Envelopes sent on a link and not acknowledged yet: at most a megabyte, enough to fill a slow circuit."""

MAX_ONIONS: Final = 60
"""Onions hosted at once by all the nodes of a process: what one tor serves well. Its cost grows faster than their
number: of 250 a tenth cannot be reached."""

ONIONS_OF_EACH: Final = 4
"""Onions that a node may need however many the others of its process do, while there are fewer than `MAX_ONIONS`;
beyond, it may have half of what the others leave, so that no one of them can take everybody's."""

SPARE_ONIONS_UP_TO: Final = 48
"""Onions of a process up to which a node hosts one for a friend who hosts one for it too: it makes coming back quick
and is the first to go when there are more; then friends are asked to host for both."""

LINK_ONION_LIFETIME: Final = 30 * 86_400
"""Seconds after which another onion takes the place of one that is hosted for a friend."""

MAX_NEW_ONIONS: Final = 4
"""Onions a friend has moved to that are dialled within a day: a friend who kept moving could have us build circuits
until one of them betrays our guard."""

MAX_LINKS: Final = 4
"""Live links of one friendship: the old one, and one each that both sides have begun anew, and one to spare."""

# --- carriers --------------------------------------------------------------------------------------------------------

SHELF_ID_SIZE: Final = 16
"""Bytes of the id of a shelf: random ones never meet."""

BLOCK_SIZE: Final = 16_384
"""Bytes of one block at a shelf: the largest envelope, or sixteen of the smallest, with all that hides them."""

MAX_CARRIERS: Final = 2
"""Carriers of one recipient: when one is away the other is there, and each more costs every sender as much again."""

MAX_SHELVES: Final = 16
"""Shelves of one recipient at one carrier: each is an onion of its own there, and a tor serves some sixty well."""

MAX_SHELVES_OPENED: Final = 48
"""Shelves that a carrier opens for one recipient in a day: all of them, and all anew after a resync, and room. Each is
an onion that it publishes."""

MAX_SHELF_BLOCKS: Final = 128
"""Blocks on one shelf: 2 MiB, or some 2,000 short messages."""

SHELF_LIFETIME: Final = 21 * 86_400
"""Seconds a block is kept: nine days less than a sender tries, so that it still has its own copy when this is gone."""

MAX_BLOCKS_UNCOLLECTED: Final = 4
"""Blocks of one shelf sent to the recipient and not collected yet: whose sender says too much, it holds up no other.
With all shelves two megabytes."""

CARRIER_DELAY: Final = 3_600
"""Seconds a day for which gaps stay open because a carrier says that it holds more: in that all it can hold comes over
a slow circuit."""

CARRIER_PATIENCE: Final = 7 * 86_400
"""Seconds after which a carrier that was not reached makes room for another: a week's absence is common."""

MAX_CARRIED_SHELVES: Final = 48
"""Shelves that one process hosts for friends: a tor of their own serves some sixty onions well; 100 MB on disk."""

MAX_HELD_SHELVES: Final = 96
"""Shelves that one process keeps, closed ones included that still have blocks: each that it hosts may be taking the
place of one. 200 MB on disk."""

DEPOSIT_WAIT: Final = 120
"""Seconds without a link before something is left at a carrier: a friend who restarts is back sooner."""

DEPOSIT_WAIT_JITTER: Final = 300
"""Seconds within which, besides, that moment is drawn: a carrier must not be told when something was said."""

DEPOSIT_GATHERING: Final = 60
"""Seconds within which what is said later is left, drawn evenly: what is said in a row shares blocks."""

FULL_SHELF_WAIT: Final = 1_800
"""Seconds before a shelf without room is tried again: its owner is away, or it would have room."""

DEPOSIT_TIMEOUT: Final = 120
"""Seconds in which a whole message must come on a stream of a deposit: a slow circuit, and a disk that is busy."""

MAX_DEPOSIT_STREAMS: Final = 4
"""Streams at one shelf; the oldest makes room: one that broke unnoticed, one that follows it, and some for a shelf that
is shared."""
