"""`GET /api/agui/{thread_id}`: one agent session as AG-UI events, over server-sent events."""

import structlog
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import Receive, Scope, Send

from ..auth.credentials import access_in
from ..channels.filters import EventFilter
from ..channels.subscription import Subscription
from ..ws.agui.ids import EventId, last_event_id
from ..ws.agui.outlet import AguiOutlet
from ..ws.agui.reading import ThreadReader
from ..ws.flow import ClientRequest, Parts, client_flow
from ..ws.messages import Connected
from ..ws.queries import new_client_id
from .stream import HTTPRequest, StreamConnection, accept_later, heartbeat_interval_s

_AGENTS = EventFilter(("agent.*",))
_log = structlog.get_logger("sightline.agui")


@get("/api/agui/{thread_id:str}", opt={"scope": "read"})
async def stream_thread(
    request: HTTPRequest,
    thread_id: FromPath[str],
    parts: NamedDependency[Parts],
) -> "AguiStream":
    """Stream the session with this id as AG-UI events, from its start or from behind `Last-Event-ID`."""
    held = access_in(request.scope).held(_AGENTS)
    return AguiStream(parts, thread_id, last_event_id(request.scope["headers"]), held)


class AguiStream:
    """The response to one client, as an ASGI application."""

    def __init__(
        self, parts: Parts, thread_id: str, behind: EventId | None, event_filter: EventFilter
    ) -> None:
        self._parts = parts
        self._thread_id = thread_id
        self._behind = behind
        self._filter = event_filter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client disconnects or the gateway drains. Cancelling leaves nothing.

        Raises:
            UnavailableError, UnauthorizedError: as `client_flow`; nothing was sent.
        """
        parts, behind = self._parts, self._behind
        if behind is not None:
            await parts.backend.catch_up(behind.position)

        def connect(subscription: Subscription, connected: Connected) -> StreamConnection:
            reader = ThreadReader(
                self._thread_id,
                parts.bus,
                parts.replay_store,
                parts.journal,
                subscription.filter,
            )
            return StreamConnection(
                send,
                subscription,
                lambda write: AguiOutlet(
                    reader, behind, subscription, write, parts.bus, connected.heartbeat_interval_s
                ),
            )

        client_id = new_client_id()
        credential = scope.get("state", {}).get("credential")
        async with client_flow(
            parts,
            # Live from now: the outlet reads what was before.
            ClientRequest(self._filter, client_id, None, credential),
            log=_log.bind(client_id=client_id),
            heartbeat_interval_s=heartbeat_interval_s(parts.settings),
            accept=accept_later,
            connect=connect,
        ) as connection:
            await connection.serve(receive)
