"""For whoever runs the bridge: how many nodes there are and how they are, nothing of what is said or to whom."""

from __future__ import annotations

from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.bridge import BridgeStatus
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.permissions import Level
from chattor_bridge.counting import counted
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.views import NodeStatus

GROUP = "Running the bridge"


async def nodes(request: Request) -> Deed:
    request.nothing_more("nodes")
    statuses = [await node.status() for node in request.desk.host.nodes()]
    bridge = await request.desk.status()

    async def deed(tx: Transaction) -> None:
        lines = []
        for status in statuses:
            parked = len(await request.desk.parking.of(tx, MatrixUserId(status.owner)))
            allowed = request.desk.level_of(MatrixUserId(status.owner)) is not Level.NONE
            lines.append(_line(status, parked, allowed=allowed))
        await request.answer(tx, "\n\n".join([_bridge(bridge, statuses), "\n".join(lines)]).strip())

    return deed


def _bridge(bridge: BridgeStatus, statuses: list[NodeStatus]) -> str:
    contacts, online = sum(status.contacts for status in statuses), sum(status.contacts_online for status in statuses)
    onions, published = sum(one.onions for one in statuses), sum(one.onions_published for one in statuses)
    inbox, actions = counted(bridge.inbox, "event"), counted(bridge.actions, "thing")
    lines = [
        f"Nodes: {len(statuses)}, of them {sum(status.running for status in statuses)} running.",
        f"Contacts: {contacts}, of them {online} online.",
        f"Onion services: {onions}, of them {published} published.",
        f"On the way to contacts: {sum(status.queued for status in statuses)}.",
        f"Waiting here: {inbox} from the homeserver, {actions} to do there.",
        f"Set aside: {bridge.parked}.",
    ]
    reasons = sorted({resting.reason for resting in bridge.resting.values()})
    if reasons:
        lines.append(f"Standing still: {counted(len(bridge.resting), 'queue')} ({'; '.join(map(literal, reasons))}).")
    return "\n".join(f"- {line}" for line in lines)


def _line(status: NodeStatus, parked: int, *, allowed: bool) -> str:
    state = (
        "stopped" if not status.running else "running" if allowed else "resting, because its owner has no permission"
    )
    failing = sum(1 for work in status.work if work.failures)
    trouble = f", {counted(failing, 'thing')} not working" if failing else ""
    aside = f", {parked} set aside" if parked else ""
    return (
        f"- **{literal(status.owner)}**: {state}, "
        f"{counted(status.contacts, 'contact')} ({status.contacts_online} online), "
        f"{counted(status.codes, 'code')} ({status.codes_published} reachable), "
        f"{status.queued} on the way{trouble}{aside}"
    )


COMMANDS = (Command("nodes", "", GROUP, "all nodes, and how they are", nodes, level=Level.ADMIN),)
