"""The gateway as an application of its own: start reading here.

One event's way: a service calls `EventPublisher.publish`, which encodes and checks; `EventBus.accept`
numbers it, keeps it in the `ReplayStore` and offers it to each `Subscription`; the `Outlet` of a
connection takes it from there and sends it. `Gateway` wires all of these, and `SightlinePlugin`
brings it into a Litestar application: here into one that is nothing else.
"""

from litestar import Litestar

from app.events import Clock
from app.plugin import SightlinePlugin
from app.settings import Settings


def create_app(settings: Settings, clock: Clock | None = None) -> Litestar:
    """Build the gateway alone. Pure: files, watchers and tasks begin in the lifespan."""
    plugin = SightlinePlugin(settings, alone=True, clock=clock)
    return Litestar(plugins=[plugin], openapi_config=None, logging_config=None)
