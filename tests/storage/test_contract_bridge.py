"""What `chattor_bridge.bridge.store_ports` promises of a store, on both engines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chattor_bridge.bridge.records import EventLink, JsonObject, KnockNotice, PortalNotice, Space, Topic
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import AlreadyExists, NotFound, UsageError
from chattor_bridge.ids import EventId, KnockId, MatrixEventId, MatrixRoomId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage import Store
from tests.storage import records
from tests.storage.records import KNOCK, NODE, OWNER, PEER, ROOM, numbered

OTHER_ROOM = MatrixRoomId("!other:example.org")
OTHER_PEER = PeerId(b"Q" * 16)


def event(number: int, room_id: MatrixRoomId = ROOM) -> JsonObject:
    body = {"body": f"planted message {number} Ünï🧅\u0000\ud800", "n": [1, 2.5, None, True]}
    return {"event_id": f"$event{number}", "room_id": room_id, "type": "m.room.message", "content": body}


async def _in_order(store: Store, tx: Transaction, room_id: MatrixRoomId) -> list[JsonObject]:
    """What waits in a room, taken out."""
    found = []
    while (item := await store.inbox.next(tx, room_id)) is not None:
        found.append(item.event)
        await store.inbox.remove(tx, item.order)
    return found


async def test_the_store_is_a_bridge_store(store: Store) -> None:
    bridge_store: BridgeStore = store
    async with bridge_store.transaction() as tx:
        assert await bridge_store.inbox.count(tx) == 0


class TestInbox:
    async def test_events_keep_their_order_per_room(self, store: Store) -> None:
        events = [event(n, OTHER_ROOM if n % 3 == 0 else ROOM) for n in range(9)]
        async with store.transaction() as tx:
            assert await store.inbox.add(tx, events, 5) == 9
        async with store.transaction() as tx:
            assert await store.inbox.rooms(tx) == [OTHER_ROOM, ROOM]
            assert await store.inbox.count(tx) == 9
            for room, numbers in ((ROOM, (1, 2, 4, 5, 7, 8)), (OTHER_ROOM, (0, 3, 6))):
                for number in numbers:
                    item = await store.inbox.next(tx, room)
                    assert item is not None
                    assert (item.event, item.room_id, item.received_at) == (event(number, room), room, 5)
                    assert await store.inbox.next(tx, room) == item
                    await store.inbox.remove(tx, item.order)
                assert await store.inbox.next(tx, room) is None
            assert await store.inbox.rooms(tx) == []

    async def test_what_came_late_goes_before_what_waits_as_far_as_it_is_older(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.inbox.add(tx, [event(3), event(9, OTHER_ROOM), event(4)], 5)
            await store.inbox.add_before(tx, ROOM, [event(1), event(2), event(3), event(5)], 6)
        async with store.transaction() as tx:
            assert await _in_order(store, tx, ROOM) == [event(1), event(2), event(3), event(4)]
            assert await _in_order(store, tx, OTHER_ROOM) == [event(9, OTHER_ROOM)]
            await store.inbox.add_before(tx, ROOM, [event(4), event(5)], 7)  # known and done, and new
            assert await _in_order(store, tx, ROOM) == [event(5)]

    async def test_parked_items_are_listed_and_come_back_in_their_old_place(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.inbox.add(tx, [event(1), event(2), event(3, OTHER_ROOM)], 5)
            for number in (1, 2):
                item = await store.inbox.next(tx, ROOM)
                assert item is not None
                await store.inbox.park(tx, item.order, f"reason {number} žluťoučký")
        async with store.transaction() as tx:
            assert await store.inbox.parked(tx, [OTHER_ROOM]) == []
            assert (await store.inbox.count_parked(tx), await store.inbox.count(tx)) == (2, 1)
            first, second = await store.inbox.parked(tx, [ROOM, OTHER_ROOM])
            assert (first.queue, first.content, first.since, first.reason) == (ROOM, event(1), 5, "reason 1 žluťoučký")
            assert second.content == event(2)
            await store.inbox.unpark(tx, second.order)
            await store.inbox.unpark(tx, first.order)
            item = await store.inbox.next(tx, ROOM)
            assert item is not None
            assert item.event == event(1)
            assert await store.inbox.count_parked(tx) == 0
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.inbox.unpark(tx, first.order)

    async def test_everything_of_a_room_can_be_removed(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.inbox.add(tx, [event(1), event(2), event(3, OTHER_ROOM)], 5)
            item = await store.inbox.next(tx, ROOM)
            assert item is not None
            await store.inbox.park(tx, item.order, "reason")
            await store.inbox.remove_room(tx, ROOM)
            assert (await store.inbox.count_parked(tx), await store.inbox.rooms(tx)) == (0, [OTHER_ROOM])

    async def test_an_event_id_stays_known_after_its_item_is_done(self, store: Store) -> None:
        async with store.transaction() as tx:
            assert await store.inbox.add(tx, [event(1), event(2), event(1)], 5) == 2
            item = await store.inbox.next(tx, ROOM)
            assert item is not None
            await store.inbox.remove(tx, item.order)
        async with store.transaction() as tx:
            assert await store.inbox.add(tx, [event(1), event(2), event(3)], 6) == 1
            assert await store.inbox.count(tx) == 2

    async def test_a_parked_item_blocks_nobody(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.inbox.add(tx, [event(1), event(2), event(3, OTHER_ROOM)], 5)
            for room in (ROOM, OTHER_ROOM):
                item = await store.inbox.next(tx, room)
                assert item is not None
                await store.inbox.park(tx, item.order, "planted reason")
            behind = await store.inbox.next(tx, ROOM)
            assert behind is not None
            assert behind.event == event(2)
            assert await store.inbox.rooms(tx) == [ROOM]
            assert await store.inbox.count(tx) == 1
            assert await store.inbox.add(tx, [event(1)], 6) == 0

    async def test_parking_what_is_gone_is_an_error(self, store: Store) -> None:
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.inbox.park(tx, 1, "reason")

    async def test_forgetting_leaves_what_waits(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.inbox.add(tx, [event(1), event(2)], 10)
            await store.inbox.add(tx, [event(3)], 20)
            for number in (1, 2, 3):
                item = await store.inbox.next(tx, ROOM)
                assert item is not None
                if number != 2:
                    await store.inbox.remove(tx, item.order)
                else:
                    await store.inbox.park(tx, item.order, "kept for the operator")
            await store.inbox.forget(tx, 20)
            assert await store.inbox.add(tx, [event(2)], 30) == 0, "still here, parked"
            assert await store.inbox.add(tx, [event(3)], 30) == 0, "not old enough"
            assert await store.inbox.add(tx, [event(1)], 30) == 1, "forgotten"

    async def test_what_was_ever_added_is_known(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.inbox.add(tx, [event(1), event(2)], 10)
            item = await store.inbox.next(tx, ROOM)
            assert item is not None
            await store.inbox.remove(tx, item.order)
            ids = [event(number)["event_id"] for number in (1, 2, 3)]
            assert await store.inbox.known(tx, ids) == set(ids[:2])
            assert await store.inbox.known(tx, []) == set()

    @pytest.mark.parametrize("broken", [{"room_id": "!r"}, {"event_id": "$e"}, {"event_id": 1, "room_id": "!r"}])
    async def test_what_is_no_room_event_is_refused(self, store: Store, broken: JsonObject) -> None:
        with pytest.raises(UsageError):
            async with store.transaction() as tx:
                await store.inbox.add(tx, [event(1), broken], 5)
        async with store.transaction() as tx:
            assert await store.inbox.count(tx) == 0

    async def test_a_transaction_of_a_hundred_large_events(self, store: Store) -> None:
        events = [{**event(n), "content": {"body": "x" * 60_000}} for n in range(100)]
        async with store.transaction() as tx:
            assert await store.inbox.add(tx, events, 5) == 100
        async with store.transaction() as tx:
            assert await store.inbox.add(tx, events, 5) == 0
            item = await store.inbox.next(tx, ROOM)
            assert item is not None
            assert item.event == events[0]


class TestActions:
    async def test_actions_keep_their_order_per_lane(self, store: Store) -> None:
        async with store.transaction() as tx:
            for number in range(6):
                await store.actions.add(tx, f"lane{number % 2}", {"planted": number}, 5)
        async with store.transaction() as tx:
            assert await store.actions.lanes(tx) == ["lane0", "lane1"]
            assert await store.actions.count(tx) == 6
            assert [await self._take(store, tx, "lane1") for _ in range(4)] == [1, 3, 5, None]
            assert await store.actions.lanes(tx) == ["lane0"]
            assert await self._take(store, tx, "lane0") == 0

    @staticmethod
    async def _take(store: Store, tx: Transaction, lane: str) -> object:
        action = await store.actions.next(tx, lane)
        if action is None:
            return None
        assert (action.lane, action.created_at, action.attempts) == (lane, 5, 0)
        await store.actions.remove(tx, action.order)
        return action.action["planted"]

    async def test_attempts_are_counted(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.actions.add(tx, "lane", {}, 5)
        for attempts in range(3):
            async with store.transaction() as tx:
                action = await store.actions.next(tx, "lane")
                assert action is not None
                assert action.attempts == attempts
                await store.actions.begun(tx, action.order)
            async with store.transaction() as tx:
                again = await store.actions.next(tx, "lane")
                assert again is not None
                assert again.attempts == attempts + 1
                if attempts % 2:  # or it could not be written that it failed
                    await store.actions.failed(tx, action.order)

    async def test_an_attempt_of_which_no_end_was_written_counts_after_a_restart(self, store: Store) -> None:
        async with store.transaction() as tx:
            for lane in ("begun", "failed", "parked"):
                await store.actions.add(tx, lane, {}, 5)
        async with store.transaction() as tx:
            for times, lane in ((1, "begun"), (3, "failed")):
                action = await store.actions.next(tx, lane)
                assert action is not None
                for _ in range(times):
                    await store.actions.begun(tx, action.order)
            aside = await store.actions.next(tx, "parked")
            assert aside is not None
            await store.actions.park(tx, aside.order, "reason")
        await store.stop()
        await store.start()
        async with store.transaction() as tx:
            await store.actions.interrupted(tx)
            await store.actions.unpark(tx, aside.order)
            counted = [await store.actions.next(tx, lane) for lane in ("begun", "failed", "parked")]
            assert [action and action.attempts for action in counted] == [1, 2, 0]

    async def test_a_parked_action_blocks_nobody(self, store: Store) -> None:
        async with store.transaction() as tx:
            for number in (1, 2):
                await store.actions.add(tx, "lane", {"n": number}, 5)
            action = await store.actions.next(tx, "lane")
            assert action is not None
            await store.actions.park(tx, action.order, "planted reason")
            behind = await store.actions.next(tx, "lane")
            assert behind is not None
            assert behind.action == {"n": 2}
            assert await store.actions.count(tx) == 1
            await store.actions.park(tx, behind.order, "too")
            assert await store.actions.lanes(tx) == []

    async def test_parked_actions_come_back_in_their_old_place_with_their_attempts(self, store: Store) -> None:
        async with store.transaction() as tx:
            for number in range(3):
                await store.actions.add(tx, "lane", {"n": number}, 5 + number)
            pending = await store.actions.next(tx, "lane")
            assert pending is not None
            await store.actions.begun(tx, pending.order)
            await store.actions.park(tx, pending.order, "reason")
        async with store.transaction() as tx:
            (parked,) = await store.actions.parked(tx, ["lane", "other"])
            assert (parked.queue, parked.content, parked.since, parked.reason) == ("lane", {"n": 0}, 5, "reason")
            assert await store.actions.count_parked(tx) == await store.actions.count_parked(tx, "lane") == 1
            assert await store.actions.count_parked(tx, "other") == 0
            newest = await store.actions.last(tx, "lane")
            assert newest is not None
            assert newest.action == {"n": 2}
            await store.actions.park(tx, newest.order, "last")
            newest = await store.actions.last(tx, "lane")
            assert newest is not None
            assert newest.action == {"n": 1}
            assert await store.actions.last(tx, "other") is None
            await store.actions.unpark(tx, parked.order)
            again = await store.actions.next(tx, "lane")
            assert again is not None
            assert (again.order, again.action, again.attempts) == (parked.order, {"n": 0}, 1)
            await store.actions.remove_lane(tx, "lane")
            assert await store.actions.count(tx) == 0
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.actions.unpark(tx, parked.order)

    async def test_orders_are_never_used_twice(self, store: Store) -> None:
        orders = []
        for _ in range(3):
            async with store.transaction() as tx:
                await store.actions.add(tx, "lane", {}, 5)
                action = await store.actions.next(tx, "lane")
                assert action is not None
                orders.append(action.order)
                await store.actions.remove(tx, action.order)
        assert orders == sorted(set(orders))

    async def test_what_is_gone_can_not_be_parked(self, store: Store) -> None:
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.actions.park(tx, 1, "reason")

    async def test_a_thousand_actions(self, store: Store) -> None:
        async with store.transaction() as tx:
            for number in range(1000):
                await store.actions.add(tx, f"lane{number % 10}", {"n": number}, 5)
        async with store.transaction() as tx:
            assert await store.actions.count(tx) == 1000
            assert await store.actions.lanes(tx) == [f"lane{n}" for n in range(10)]


class TestPortals:
    async def test_a_portal_has_a_room_for_as_long_as_it_has_one(self, store: Store) -> None:
        unborn = records.portal(room_id=None)
        born = replace(unborn, room_id=ROOM)
        async with store.transaction() as tx:
            await store.portals.add(tx, unborn)
            assert await store.portals.by_peer(tx, NODE, PEER) == unborn
            assert await store.portals.by_room(tx, ROOM) is None
            await store.portals.move(tx, NODE, PEER, ROOM)
        async with store.transaction() as tx:
            await store.portals.add(tx, unborn)  # it is there already
            assert await store.portals.by_peer(tx, NODE, PEER) == born
            assert await store.portals.by_room(tx, ROOM) == born
            assert await store.portals.by_ghost(tx, born.ghost) == born
            assert await store.portals.by_ghost(tx, MatrixUserId("@chattor_nobody:example.org")) is None
            assert await store.portals.by_peer(tx, NODE, OTHER_PEER) is None
            await store.portals.leave(tx, OTHER_ROOM)  # it is in another
            assert await store.portals.by_room(tx, ROOM) == born
            await store.portals.leave(tx, ROOM)
            assert await store.portals.by_peer(tx, NODE, PEER) == unborn

    async def test_what_changes_of_a_portal_leaves_the_rest_alone(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.portals.add(tx, records.portal(room_id=None))
            await store.portals.merge(tx, NODE, PEER, OTHER_PEER)
            await store.portals.move(tx, NODE, PEER, ROOM)
            merged = records.portal(room_id=ROOM)
            assert await store.portals.by_peer(tx, NODE, PEER) == replace(merged, merged_into=OTHER_PEER)

    async def test_a_portal_that_is_not_there_has_no_room(self, store: Store) -> None:
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.portals.move(tx, NODE, PEER, ROOM)

    async def test_portals_of_an_owner_oldest_first(self, store: Store) -> None:
        portals = [records.portal(PeerId(numbered(9 - n)), MatrixRoomId(f"!{n}:x")) for n in range(9)]
        async with store.transaction() as tx:
            for each in portals:
                await store.portals.add(tx, each)
            await store.portals.add(tx, portals[3])
            assert await store.portals.of_owner(tx, OWNER) == portals
            assert await store.portals.of_owner(tx, MatrixUserId("@nobody:x")) == []

    async def test_portals_without_a_room_do_not_collide(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.portals.add(tx, records.portal(PEER, None))
            await store.portals.add(tx, records.portal(OTHER_PEER, None))
            assert len(await store.portals.of_owner(tx, OWNER)) == 2

    async def test_a_room_shows_one_conversation(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.portals.add(tx, records.portal())
        with pytest.raises(AlreadyExists):
            async with store.transaction() as tx:
                await store.portals.add(tx, records.portal(OTHER_PEER))


class TestPortalNotices:
    async def test_a_notice_is_found_replaced_and_removed(self, store: Store) -> None:
        waiting = PortalNotice(ROOM, MatrixEventId("$1"), Topic.WAITING, "")
        held = PortalNotice(ROOM, MatrixEventId("$2"), Topic.HELD, "17")
        async with store.transaction() as tx:
            for notice in (waiting, held, replace(waiting, subject="carried")):
                await store.portal_notices.save(tx, notice)
            assert await store.portal_notices.of_room(tx, ROOM, Topic.WAITING) == [replace(waiting, subject="carried")]
            assert await store.portal_notices.of_room(tx, OTHER_ROOM, Topic.HELD) == []
            assert await store.portal_notices.by_matrix_event(tx, MatrixEventId("$2")) == held
            await store.portal_notices.remove(tx, MatrixEventId("$2"))
            assert await store.portal_notices.by_matrix_event(tx, MatrixEventId("$2")) is None
            await store.portal_notices.remove_room(tx, ROOM)
            assert await store.portal_notices.of_room(tx, ROOM, Topic.WAITING) == []


class TestManagementRooms:
    async def test_the_newest_counts(self, store: Store) -> None:
        async with store.transaction() as tx:
            assert await store.management_rooms.of_owner(tx, OWNER) is None
            await store.management_rooms.save(tx, OWNER, ROOM, 5)
            await store.management_rooms.save(tx, OWNER, OTHER_ROOM, 5)
            assert await store.management_rooms.of_owner(tx, OWNER) == OTHER_ROOM
            await store.management_rooms.save(tx, OWNER, ROOM, 5)
            assert await store.management_rooms.of_owner(tx, OWNER) == ROOM
            assert await store.management_rooms.owner_of(tx, OTHER_ROOM) == OWNER
            await store.management_rooms.remove(tx, ROOM)
            assert await store.management_rooms.of_owner(tx, OWNER) == OTHER_ROOM
            assert await store.management_rooms.owner_of(tx, ROOM) is None

    async def test_an_owner_has_one_space_or_none(self, store: Store) -> None:
        async with store.transaction() as tx:
            assert await store.spaces.of_owner(tx, OWNER) == Space(OWNER)
            await store.spaces.want(tx, OWNER, wanted=False)
            await store.spaces.move(tx, OWNER, ROOM)
            assert await store.spaces.of_owner(tx, OWNER) == Space(OWNER, ROOM, unwanted=True)
            await store.spaces.leave(tx, OTHER_ROOM)
            await store.spaces.want(tx, OWNER, wanted=True)
            assert await store.spaces.of_owner(tx, OWNER) == Space(OWNER, ROOM)
            await store.spaces.leave(tx, ROOM)
            assert await store.spaces.of_owner(tx, OWNER) == Space(OWNER)
            await store.spaces.move(tx, OWNER, OTHER_ROOM)
            assert await store.spaces.owner_of(tx, OTHER_ROOM) == OWNER
            assert await store.spaces.owner_of(tx, ROOM) is None
            await store.spaces.remove(tx, OWNER)
            assert await store.spaces.of_owner(tx, OWNER) == Space(OWNER)

    async def test_a_room_has_one_owner(self, store: Store) -> None:
        bob = MatrixUserId("@bob:example.org")
        async with store.transaction() as tx:
            await store.management_rooms.save(tx, OWNER, ROOM, 5)
            await store.management_rooms.save(tx, bob, ROOM, 6)
            assert await store.management_rooms.owner_of(tx, ROOM) == bob
            assert await store.management_rooms.of_owner(tx, OWNER) is None


class TestEventLinks:
    async def test_links_are_found_from_both_ends(self, store: Store) -> None:
        event_id = EventId(numbered(1))
        parts = [
            EventLink(NODE, PEER, event_id, part, ROOM, MatrixEventId(f"${9 - part}"), ours=part == 0)
            for part in range(3)
        ]
        async with store.transaction() as tx:
            for link in (*reversed(parts), parts[0]):  # the last one again
                await store.event_links.add(tx, link)
            assert await store.event_links.by_event(tx, NODE, PEER, event_id) == parts
            assert await store.event_links.by_event(tx, NODE, OTHER_PEER, event_id) == []
            assert await store.event_links.by_matrix_event(tx, MatrixEventId("$8")) == [parts[1]]
            assert await store.event_links.by_matrix_event(tx, MatrixEventId("$0")) == []

    async def test_one_matrix_event_may_carry_many_chattor_events(self, store: Store) -> None:
        pieces = [
            EventLink(NODE, PEER, EventId(numbered(9 - part)), part, ROOM, MatrixEventId("$long"), ours=True)
            for part in range(5)
        ]
        async with store.transaction() as tx:
            for link in reversed(pieces):
                await store.event_links.add(tx, link)
            assert await store.event_links.by_matrix_event(tx, MatrixEventId("$long")) == pieces

    async def test_what_changes_an_event_is_found_by_it_and_goes_with_a_merge(self, store: Store) -> None:
        poll, vote = EventId(numbered(1)), EventId(numbered(2))
        detail = {"answers": ["tea", "planted answer"], "choices": 1, "stable": True}
        start = EventLink(NODE, PEER, poll, 0, ROOM, MatrixEventId("$poll"), True, "poll", None, detail)
        answer = EventLink(NODE, PEER, vote, 0, ROOM, MatrixEventId("$vote"), False, "vote", poll)
        async with store.transaction() as tx:
            for link in (start, answer):
                await store.event_links.add(tx, link)
            assert await store.event_links.by_event(tx, NODE, PEER, poll) == [start]
            assert await store.event_links.of_target(tx, NODE, PEER, poll) == [answer]
            assert await store.event_links.of_target(tx, NODE, OTHER_PEER, poll) == []
            await store.event_links.move(tx, NODE, PEER, OTHER_PEER)
            moved = replace(answer, peer_id=OTHER_PEER)
            assert await store.event_links.by_event(tx, NODE, OTHER_PEER, poll) == [replace(start, peer_id=OTHER_PEER)]
            assert await store.event_links.of_target(tx, NODE, OTHER_PEER, poll) == [moved]
            await store.event_links.remove_link(tx, moved)
            assert await store.event_links.of_target(tx, NODE, OTHER_PEER, poll) == []

    async def test_what_waits_is_what_is_linked_and_in_the_outbox(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            for number in (1, 2, 3):
                await store.outbox.add(tx, NODE, records.entry(number))
            entries = await store.outbox.after(tx, NODE, PEER, 0, 9)
            links = [
                EventLink(NODE, PEER, entry.event_id, 0, ROOM, MatrixEventId(f"${number}"), ours=number < 3)
                for number, entry in enumerate(entries, 1)
            ]
            for link in reversed(links):
                await store.event_links.add(tx, link)
            assert await store.event_links.waiting(tx, NODE, PEER, 9) == links[:2]
            assert await store.event_links.waiting(tx, NODE, PEER, 1) == links[:1]
            await store.outbox.remove(tx, NODE, PEER, [(1, 1)])
            assert await store.event_links.waiting(tx, NODE, PEER, 9) == links[1:2]

    async def test_one_event_between_two_nodes_here_has_two_links(self, store: Store) -> None:
        event_id = EventId(numbered(1))
        sent = EventLink(NODE, PEER, event_id, 0, ROOM, MatrixEventId("$sent"), ours=True)
        got = EventLink(NodeId(b"M" * 16), PEER, event_id, 0, OTHER_ROOM, MatrixEventId("$got"), ours=False)
        async with store.transaction() as tx:
            await store.event_links.add(tx, sent)
            await store.event_links.add(tx, got)
            assert await store.event_links.by_event(tx, NODE, PEER, event_id) == [sent]
            for link in (sent, got):
                await store.event_links.remove_event(tx, link.node_id, PEER, event_id)
            assert await store.event_links.by_matrix_event(tx, MatrixEventId("$sent")) == [sent]  # our own owner's
            assert await store.event_links.by_matrix_event(tx, MatrixEventId("$got")) == []


class TestKnockNotices:
    async def test_only_the_latest_can_be_answered(self, store: Store) -> None:
        first, second = (KnockNotice(KNOCK, ROOM, MatrixEventId(name)) for name in ("$first", "$second"))
        async with store.transaction() as tx:
            await store.knock_notices.save(tx, first)
            assert await store.knock_notices.by_matrix_event(tx, first.matrix_event_id) == first
            await store.knock_notices.save(tx, second)
            assert await store.knock_notices.by_matrix_event(tx, first.matrix_event_id) is None
            assert await store.knock_notices.by_matrix_event(tx, second.matrix_event_id) == second
            assert await store.knock_notices.by_knock(tx, KNOCK) == second
            assert await store.knock_notices.by_knock(tx, KnockId(numbered(2))) is None
            await store.knock_notices.remove(tx, KNOCK)
            assert await store.knock_notices.by_knock(tx, KNOCK) is None


class TestSettings:
    async def test_a_secret_is_made_once(self, store: Store) -> None:
        async with store.transaction() as tx:
            first = await store.secret(tx, "ghosts", 32)
            assert len(first) == 32
            assert await store.secret(tx, "other", 16) != first[:16]
        async with store.transaction() as tx:
            assert await store.secret(tx, "ghosts", 32) == first
            with pytest.raises(ValueError, match="ghosts"):
                await store.secret(tx, "ghosts", 16)

    async def test_settings_are_removed_by_the_beginning_of_their_name(self, store: Store) -> None:
        async with store.transaction() as tx:
            for name in ("a%:1", "a%:2", "ab:1", "A%:1"):
                await store.set_setting(tx, name, "planted")
            await store.remove_settings(tx, "a%:")
            kept = [name for name in ("a%:1", "a%:2", "ab:1", "A%:1") if await store.get_setting(tx, name)]
            assert kept == ["ab:1", "A%:1"]

    async def test_a_setting_is_what_was_set_last(self, store: Store) -> None:
        async with store.transaction() as tx:
            assert await store.get_setting(tx, "since") is None
            await store.set_setting(tx, "since", "s1")
            await store.set_setting(tx, "since", "planted token")
        async with store.transaction() as tx:
            assert await store.get_setting(tx, "since") == "planted token"
