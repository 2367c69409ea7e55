"""The events of agents that the journal holds of the last hour."""

import asyncio
from typing import NamedTuple

import msgspec
import structlog

from ..channels.filters import EventFilter
from ..errors import SightlineError
from ..events import Position
from ..journal.history import Question
from ..journal.journal import Journal

SINCE_S = 3600.0
PAGE = 1000
MAX_PAGES = 10
WAIT_S = 5.0
_EVENTS = EventFilter(("agent.*",))
_log = structlog.get_logger("sightline.attention")


class PastEvent(NamedTuple):
    """An event as it was published."""

    epoch: str
    type: str
    timestamp: str
    number: int
    encoded: bytes


class _Head(msgspec.Struct):
    type: str
    timestamp: str
    sequence_number: int


_decode = msgspec.json.Decoder(_Head).decode


async def recent_events(journal: Journal, wall: float) -> list[PastEvent]:
    """The newest events of agents, oldest first: an hour, or 10,000. Those read, if reading fails."""
    found: list[PastEvent] = []
    question = Question(
        limit=PAGE, order="desc", since_ms=int((wall - SINCE_S) * 1000), event_filter=_EVENTS
    )
    try:
        async with asyncio.timeout(WAIT_S):
            for _ in range(MAX_PAGES):
                page = await journal.page(question)
                if page is None:
                    break
                for message in page.messages:
                    head = _decode(message)
                    place = (page.epoch, head.type, head.timestamp, head.sequence_number)
                    found.append(PastEvent(*place, message))
                if page.older is None:
                    break
                epoch, _, number = page.older.rpartition(":")
                question = msgspec.structs.replace(question, before=Position(int(number), epoch))
    except (SightlineError, TimeoutError, msgspec.MsgspecError) as error:
        _log.warning("attention_without_past", error_type=type(error).__name__, error=str(error))
    return found[::-1]
