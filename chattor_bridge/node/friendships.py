"""The friendships of one node that are at work, by friend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chattor_bridge.errors import NotFound
from chattor_bridge.ids import OnionKey, PeerId
from chattor_bridge.node.friendship import Friendship
from chattor_bridge.protocol.signals import Here, Signal


class Friendships:
    """`begin` each that is on disk. One that our owner wants no more of (`part`) begins again only when the two are to
    `meet_again`. What is said to a friend whose friendship is not at work concerns nobody."""

    def __init__(
        self, make: Callable[[PeerId], Friendship], start: Callable[[Friendship, float], asyncio.Task[None]]
    ) -> None:
        """``make`` makes the live half of a contact, and ``start`` has it run, to dial after so many seconds."""
        self._make = make
        self._start = start
        self.by_peer: dict[PeerId, Friendship] = {}
        self._tasks: dict[PeerId, asyncio.Task[None]] = {}
        self._parted: set[PeerId] = set()

    def begin(self, peer_id: PeerId, delay: float = 0.0) -> Friendship:
        """The live half of a contact that is on disk, running. Raises: NotFound when our owner wants no more of it."""
        if peer_id in self._parted:
            raise NotFound("this friend was blocked or forgotten meanwhile")
        friendship = self.by_peer.get(peer_id)
        if friendship is None:
            friendship = self.by_peer[peer_id] = self._make(peer_id)
            self._tasks[peer_id] = self._start(friendship, delay)
        return friendship

    def part(self, peer_id: PeerId) -> None:
        """Our owner has blocked or forgotten this friend: end every link."""
        self._parted.add(peer_id)
        friendship, task = self.by_peer.pop(peer_id, None), self._tasks.pop(peer_id, None)
        if friendship is not None:
            friendship.part()
        if task is not None:
            task.cancel()

    def meet_again(self, peer_id: PeerId) -> None:
        """Our owner has unblocked this friend."""
        self._parted.discard(peer_id)

    def parted_from(self, peer_id: PeerId) -> bool:
        """Whether our owner wants no more of this friend, whatever was read of it before."""
        return peer_id in self._parted

    def clear(self) -> None:
        """The tasks have ended, and with them every friendship."""
        self._tasks.clear()
        self.by_peer.clear()

    def wake(self, peer_id: PeerId) -> None:
        """Something was put into this friend's outbox."""
        if friendship := self.by_peer.get(peer_id):
            friendship.wake()

    def signal(self, peer_id: PeerId, signal: Signal) -> None:
        """Say this to a friend who is there now; our owner wants it to be seen."""
        if friendship := self.by_peer.get(peer_id):
            friendship.signal(signal)

    def renew(self, peer_id: PeerId) -> None:
        """The session with this friend is to be renewed."""
        if friendship := self.by_peer.get(peer_id):
            friendship.renew()

    def tell_onions(self, peer_id: PeerId) -> None:
        """The onions that this friend is to know of have changed."""
        if friendship := self.by_peer.get(peer_id):
            friendship.tell_onions()

    async def follow(self, peer_id: PeerId, onion: OnionKey) -> None:
        """To be called before each dial of a friend, see `Friendship.follow`. Raises: NotFound; OnionUnreachable."""
        friendship = self.by_peer.get(peer_id)
        if friendship is None:
            raise NotFound("no such contact")
        await friendship.follow(onion)

    def woken(self) -> None:
        """The machine slept, or its clock jumped: look at every link and dial now."""
        for friendship in self.by_peer.values():
            friendship.woken()

    def online(self, peer_id: PeerId) -> bool:
        """Whether a link to this friend is up."""
        friendship = self.by_peer.get(peer_id)
        return friendship is not None and friendship.online

    def peers_online(self) -> list[PeerId]:
        """Friends to whom a link is up."""
        return [peer_id for peer_id, friendship in self.by_peer.items() if friendship.online]

    def shown_by(self, peer_id: PeerId) -> tuple[bool, Here]:
        """Whether a friend types, and whether it is there, as far as it shows that."""
        friendship = self.by_peer.get(peer_id)
        if friendship is None:
            return False, Here.UNKNOWN
        return friendship.signalling.typing, friendship.signalling.presence
