"""Carrying out one pending action on the homeserver: which part of the bridge does which kind."""

from __future__ import annotations

from chattor_bridge.bridge import actions
from chattor_bridge.bridge.closing import Closing
from chattor_bridge.bridge.conversations import Conversations
from chattor_bridge.bridge.disappearing import Disappearing
from chattor_bridge.bridge.display import Display
from chattor_bridge.bridge.files.offering import Offering
from chattor_bridge.bridge.files.taking import Taking
from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.intake import Intake
from chattor_bridge.bridge.listener import Deed, nothing
from chattor_bridge.bridge.look import BOT_NAME
from chattor_bridge.bridge.moving import Moving
from chattor_bridge.bridge.ports import Homeserver, TextConversion
from chattor_bridge.bridge.puppets import Puppets
from chattor_bridge.bridge.records import PendingAction
from chattor_bridge.bridge.sender import Sender
from chattor_bridge.bridge.showing import Showing
from chattor_bridge.bridge.space import Spaces
from chattor_bridge.bridge.speaking import Speaking
from chattor_bridge.bridge.statuses import Statuses
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.node.host import NodeHost


class Performer:
    """Does one action after the other; knows nothing of lanes and retries."""

    def __init__(
        self,
        store: BridgeStore,
        host: NodeHost,
        homeserver: Homeserver,
        conversion: TextConversion,
        clock: SteadyClock,
        voice: Voice,
        conversations: Conversations,
        intake: Intake,
        household: Household,
        offering: Offering,
        *,
        fetch_unasked: int,
    ) -> None:
        sender = Sender(homeserver, clock)
        self._homeserver = homeserver
        self._showing = Showing(store, homeserver, conversion, sender, conversations)
        self._closing = Closing(store, homeserver, conversion, sender, conversations, voice)
        self._statuses = Statuses(store, homeserver, conversion, sender, voice)
        self._display = Display(store, homeserver, conversion, self._showing)
        self._moving = Moving(store, homeserver, voice, conversations, intake)
        self._disappearing = Disappearing(store, homeserver, voice)
        self._spaces = Spaces(store, homeserver, conversations)
        self._offering = offering
        self._taking = Taking(store, host, homeserver, conversion, sender, self._display, clock, voice, fetch_unasked)
        self._puppets = Puppets(store, homeserver, household, voice)
        self._speaking = Speaking(store, homeserver, conversion, clock, voice, sender)

    async def perform(self, action: actions.Action, pending: PendingAction) -> Deed:
        """Do it, and return what to write down about it.

        Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable.
        """
        match action:
            case actions.TellWaiting():
                return await self._statuses.tell_waiting(action, pending)
            case actions.TellHeld():
                return await self._statuses.tell_held(action, pending)
            case actions.TakeBack():
                return await self._statuses.take_back(action)
            case actions.ReportStatus():
                return await self._statuses.report(action, pending)
            case actions.ShowEvent():
                return await self._display.event(action, pending)
            case actions.Disappear():
                return await self._disappearing.disappear(action)
            case actions.ShowUnknown():
                return await self._display.unknown(action, pending)
            case actions.OfferFile() | actions.WeighFile() | actions.ShowFile() | actions.TellProgress():
                return await self._file(action, pending)
            case actions.OpenPortal():
                return await self._showing.open_portal(action, pending)
            case actions.RenamePortal():
                await self._showing.rename(action)
            case actions.ClosePortal():
                return await self._closing.close_portal(action, pending)
            case actions.PartFromRoom():
                return await self._closing.part(action, pending)
            case actions.ConsiderRoom():
                return await self._moving.consider(action, pending)
            case actions.ProvePuppet():
                return await self._puppets.prove(action)
            case actions.TendPuppet():
                return await self._puppets.tend(action)
            case actions.TendSpace():
                return await self._spaces.tend(action, pending)
            case actions.CloseSpace():
                return await self._spaces.close(action)
            case actions.Say():
                return await self._speaking.say(action, pending)
            case actions.ShowImage():
                return await self._speaking.show_image(action, pending)
            case actions.AskAboutKnock():
                return await self._speaking.ask_about_knock(action, pending)
            case actions.TellMissed():
                return await self._speaking.tell_missed(action, pending)
            case actions.React():
                return await self._speaking.react(action, pending)
            case actions.Welcome():
                return await self._speaking.welcome(action, pending)
            case actions.OpenManagement():
                return await self._speaking.open_management(action, pending)
            case actions.Leave(user, room, reason):
                if user == self._homeserver.bot:  # the first to call it may be somebody it has nothing to say to
                    await self._homeserver.ensure_user(self._homeserver.bot, BOT_NAME)
                await self._homeserver.leave(MatrixUserId(user), MatrixRoomId(room), reason)
            case actions.MarkRead(user, room, event):
                await self._homeserver.mark_read(MatrixUserId(user), MatrixRoomId(room), MatrixEventId(event))
        return nothing

    async def _file(self, action: actions.FileAction, pending: PendingAction) -> Deed:
        portal = await self._showing.portal(action.node, action.peer)
        match action:
            case actions.OfferFile():
                return await self._offering.offer(portal, action, pending)
            case actions.WeighFile():
                return await self._taking.weigh(portal, action)
            case actions.ShowFile():
                return await self._taking.show(portal, action, pending)
            case actions.TellProgress():
                return await self._taking.progress(portal, action, pending)
