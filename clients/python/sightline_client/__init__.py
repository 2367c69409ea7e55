"""Listen to a Sightline gateway and publish to it.

`connect` gives typed events and gaps and survives restarts; `history` reads the past; `publish` and
`publish_many` go over HTTP, and `emit` does so without waiting and never raises.
`sightline_client.sync` has the same names without asyncio, `sightline_client.events` the classes to
match on, `sightline_client.errors` everything that can be raised.
"""

from sightline_client.address import Address, find
from sightline_client.emitting import emit
from sightline_client.errors import SightlineError
from sightline_client.history import History, history
from sightline_client.messages import Connected, Event, Gap, Item, Position
from sightline_client.publishing import (
    NewEvent,
    Published,
    Publisher,
    batches,
    publish,
    publish_many,
)
from sightline_client.stream import Stream, connect

__all__ = [
    "Address",
    "Connected",
    "Event",
    "Gap",
    "History",
    "Item",
    "NewEvent",
    "Position",
    "Published",
    "Publisher",
    "SightlineError",
    "Stream",
    "batches",
    "connect",
    "emit",
    "find",
    "history",
    "publish",
    "publish_many",
]
