"""The gateway as an application of its own: start reading here.

The path of an event: a service calls `EventPublisher.publish`, which encodes and checks the event;
`EventBus.accept` numbers it, stores it in the `ReplayStore` and offers it to each `Subscription`; the
`Outlet` of a connection sends it. `Gateway` wires these parts, and `SightlinePlugin` adds the gateway
to a Litestar application, here to an empty one.
"""

from typing import cast

from litestar import Litestar
from litestar.types import LifeSpanReceive, LifeSpanScope, LifeSpanSend, Receive, Scope, Send

from .events import Clock
from .mounting import begin, refuse_not_started
from .plugin import SightlinePlugin, plugin_of
from .settings import Settings


class GatewayApp(Litestar):
    """The gateway alone. It refuses all requests if the server did not run its lifespan."""

    async def __call__(
        self,
        scope: Scope | LifeSpanScope,
        receive: Receive | LifeSpanReceive,
        send: Send | LifeSpanSend,
    ) -> None:
        """Serve the lifespan, a request or an upgrade."""
        if scope["type"] == "lifespan":
            await begin(self, cast(LifeSpanReceive, receive), cast(LifeSpanSend, send))
        elif plugin_of(self).running:
            await super().__call__(scope, receive, send)
        else:
            await refuse_not_started(scope, cast(Receive, receive), cast(Send, send))


def create_app(settings: Settings, clock: Clock | None = None) -> Litestar:
    """Build the gateway alone. Pure: files, watchers and tasks begin in the lifespan."""
    plugin = SightlinePlugin(settings, alone=True, clock=clock)
    return GatewayApp(plugins=[plugin], openapi_config=None, logging_config=None)
