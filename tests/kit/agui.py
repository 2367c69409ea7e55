"""AG-UI streams: a reader, and the rules that `verifyEvents` of `@ag-ui/client` 1.0 holds them to."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from tests.kit.gateway import Gateway

Numbered = tuple[str, dict[str, Any]]


class Verifier:
    """Raises `AssertionError` at the first event that the official client would refuse."""

    def __init__(self) -> None:
        self.state = "new"  # then open, finished or failed
        self._begin()

    def _begin(self) -> None:
        self.messages: set[str] = set()
        self.calls: set[str] = set()
        self.agents: set[str] = set()
        self.agents_ended: set[str] = set()
        self.owners: dict[tuple[str, str], str | None] = {}

    def check(self, event: dict[str, Any]) -> None:
        """Take the next event."""
        type_, tag = event["type"], event.get("subagentRunId")
        assert None not in event.values(), event
        if type_ == "RUN_STARTED":
            assert self.state != "open", "a run is open"
            self._begin()
            self.state = "open"
            return
        assert self.state == "open" or (type_ == "RUN_ERROR" and self.state != "failed"), event
        if type_ == "RUN_ERROR":
            self.state = "failed"
        elif type_ == "RUN_FINISHED":
            assert not self.messages | self.calls | self.agents
            self.state = "finished"
        elif type_.startswith("TEXT_MESSAGE"):
            self._bracket(self.messages, type_, "message", event["messageId"], tag)
        elif type_ == "TOOL_CALL_RESULT":
            self.owners["message", event["messageId"]] = tag
            assert isinstance(event["content"], str)
        elif type_.startswith("TOOL_CALL"):
            self._bracket(self.calls, type_, "call", event["toolCallId"], tag)
        elif type_ == "SUBAGENT_STARTED":
            assert tag not in self.agents | self.agents_ended, "a sub-agent run begins twice"
            above = event.get("parentSubagentRunId")
            assert above is None or above in self.agents | self.agents_ended
            self.agents.add(tag)
        elif type_ in ("SUBAGENT_FINISHED", "SUBAGENT_ERROR"):
            self.agents.remove(tag)
            self.agents_ended.add(tag)
        else:
            assert type_ == "CUSTOM", event
            assert {"name", "value"} <= set(event)

    def _bracket(self, opened: set[str], type_: str, kind: str, id_: str, tag: str | None) -> None:
        begins = type_.endswith("_START")
        assert (id_ in opened) != begins, f"{type_} {id_}"
        owner = self.owners.setdefault((kind, id_), tag)
        assert tag is None or owner == tag, f"{type_} {id_} belongs to {owner}"
        if begins:
            opened.add(id_)
        elif type_.endswith("_END"):
            opened.remove(id_)


def verified(events: list[dict[str, Any]]) -> Verifier:
    """The state after these events, all of which the official client takes."""
    verifier = Verifier()
    for event in events:
        verifier.check(event)
    return verifier


async def read(
    gateway: Gateway, thread_id: str, behind: str | None = None
) -> AsyncIterator[Numbered]:
    """Ids and events of a session as they come, from behind an id on."""
    headers = {} if behind is None else {"Last-Event-ID": behind}
    async with gateway.http(timeout=None) as http:
        path = f"/api/agui/{quote(thread_id, safe='')}"
        async with http.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            id_ = ""
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    id_ = line[4:]
                elif line.startswith("data: "):
                    yield id_, json.loads(line[6:])


async def take(coming: AsyncIterator[Numbered], last: str) -> list[Numbered]:
    """What comes up to the event with the id `last`."""
    found = []
    async for one in coming:
        found.append(one)
        if one[0] == last:
            break
    return found
