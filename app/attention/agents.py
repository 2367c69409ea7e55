"""`Agent`, `Call` and `Cause`: the parts of a session. Pure."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class Agent:
    """The main agent (`id` is None) or a sub-agent."""

    id: str | None
    state: str = "new"  # then working, idle (main), finished (sub-agent) or failed
    turns: int = 0
    turn_started: float | None = None
    asks: tuple[str | None, str | None] | None = None  # tool and summary, tied to no open call
    background: bool = False  # the call that began it has ended


@dataclass(slots=True)
class Call:
    """An open tool call."""

    agent_id: str | None
    tool_name: str
    summary: str | None
    started: float
    spawns: bool
    asked: bool = False


class Cause(NamedTuple):
    """An event that an alarm may follow from: its position, and `metadata.publisher` if it has one."""

    epoch: str = ""
    number: int = 0
    publisher: str | None = None
