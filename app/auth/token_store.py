"""`TokenStore`: keeps `NamedTokens` as a file or a bucket says, and looks at it again and again.

`TokenFile` and `TokenBucket` know where the tokens are; what is done with what they find is here.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import structlog

from .named import Change, NamedToken, NamedTokens

Stamp = tuple[float | str, ...] | None  # changes with every write; None if nothing is kept
NEVER_READ: Stamp = ("never read",)
_log = structlog.get_logger("sightline.tokens")


class Found(NamedTuple):
    """What a look has found; `tokens` is None if there are no named tokens by anybody's choice."""

    stamp: Stamp
    tokens: list[NamedToken] | None
    fault: str | None = None  # why it is not believed: then no token counts


class TokenStore:
    """What is malformed or not believed admits nobody; what cannot be read now changes nothing."""

    look_every_s = 1.0

    def __init__(
        self,
        where: str,
        tokens: NamedTokens,
        on_change: Callable[[list[Change]], None] = lambda changes: None,
    ) -> None:
        """`where` is for the log. `on_change` is called after tokens were replaced or expired."""
        self._where = where
        self._tokens = tokens
        self._on_change = on_change
        self._stamp = NEVER_READ

    async def refresh(self) -> None:
        """Look, and end every token that is no longer kept."""
        self._take(await self._look())

    async def watch(self) -> None:
        """Refresh until cancelled."""
        while True:
            await asyncio.sleep(self.look_every_s)
            try:
                await self.refresh()
                if expired := self._tokens.expire():
                    self._on_change(expired)
            except Exception as error:  # the tokens must not end the gateway
                _log.error("tokens_not_refreshed", error_type=type(error).__name__, exc_info=error)

    async def _look(self) -> Found | None:
        """What is kept; None if it is as before, or cannot be read now."""
        raise NotImplementedError

    def _unreadable(self, why: str | None) -> None:
        """Report a fault that may pass. The stamp stays, so the next look reads again."""
        _log.warning(
            "tokens_unreadable",
            path=self._where,
            error=why,
            remedy="the tokens stay as they are until it can be read: see docs/tokens.md",
        )

    def _take(self, found: Found | None) -> None:
        if found is None:
            if self._stamp == NEVER_READ:  # there may be tokens: be as careful as if there were
                self._tokens.configured = True
                self._on_change([])
            return
        if found.fault is not None:
            _log.error(
                "tokens_not_believed",
                path=self._where,
                why=found.fault,
                remedy="no named token counts until this is right: see docs/tokens.md",
            )
        changes = self._tokens.replace(found.tokens or (), configured=found.tokens is not None)
        self._stamp = found.stamp  # only now: if it failed, the next look does it again
        self._on_change(changes)
