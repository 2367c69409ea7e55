"""`history`: what the gateway's journal holds, for asyncio."""

from collections.abc import AsyncIterator, Iterable
from functools import partial

import httpx

from sightline_client.address import find
from sightline_client.events import KnownData
from sightline_client.messages import Item, Position
from sightline_client.pages import PAGE, Order, Page, Paging, Time, page_of, query_of
from sightline_client.proof import Proven
from sightline_client.wire import PATH, TIMEOUT_S, unreachable, uses_proxies


class Pages:
    """Asks one gateway for pages, over a connection that it keeps."""

    def __init__(self, gateway: Proven) -> None:
        self._gateway = gateway
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=uses_proxies(gateway.found))

    async def get(self, query: dict[str, str]) -> Page:
        """Ask for one page.

        Raises:
            RefusedError, UnreachableError, ProtocolError: there is none.
        """
        answer = await self._try(query)
        if answer.status_code == 401 and self._gateway.refused():
            answer = await self._try(query)
        return page_of(answer)

    async def close(self) -> None:
        await self._http.aclose()

    async def _try(self, query: dict[str, str]) -> httpx.Response:
        headers = await self._gateway.headers_soon()
        address = self._gateway.found
        try:
            return await self._http.get(address.url + PATH, params=query, headers=headers)
        except httpx.HTTPError as error:
            raise unreachable(address, error) from error


class History:
    """Events and gaps, read a page at a time: iterate over it. Made by `history`."""

    def __init__(self, url: str | None, token: str | None, query: dict[str, str]) -> None:
        self._find = partial(find, url, token)
        self._paging = Paging(query)
        self._query = query

    @property
    def matches(self) -> int | None:
        """How many events match `q`, from the first item on; None where counting takes too long."""
        return self._paging.matches

    @property
    def position(self) -> Position | None:
        """Of the last item; at the end of the iteration, how far the history goes: `since=` there."""
        return self._paging.position

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Read from the beginning."""
        paging = self._paging = Paging(self._query)
        pages = Pages(Proven(self._find))
        try:
            while paging.query is not None:
                for item in paging.read(await pages.get(paging.query)):
                    yield item
        finally:
            await pages.close()


def history(
    url: str | None = None,
    *,
    token: str | None = None,
    after: Position | int | None = None,
    before: Position | int | None = None,
    order: Order = "asc",
    since: Time | None = None,
    until: Time | None = None,
    types: Iterable[str | type[KnownData]] | None = None,
    agent: str | None = None,
    session_id: str | None = None,
    q: str | None = None,
    limit: int = PAGE,
) -> History:
    """Read the past: `async for item in history(q="nightly build", since="7d"): …`.

    Items are `Event` and `Gap`, from the oldest, or with `order="desc"` from the newest. All that is
    given has to match. `after` and `before` are positions, exclusive. `since` (inclusive) and `until`
    (exclusive) are a `datetime`, ISO 8601, Unix milliseconds, or an age such as `2h` or `7d`. `q` holds
    words that all occur; a phrase stands in quotes. `limit` is the size of a page, not of the result.

    A `Gap` stands where events are lost, and, with the reason `epoch_changed`, between two epochs:
    their numbers have nothing to do with each other, and a crash may have lost the last ones.

    Raises:
        RefusedError: on iterating: a parameter is malformed, or the gateway has no journal.
        UnreachableError: on iterating: no answer.
    """
    query = query_of(
        after=after,
        before=before,
        order=order,
        since=since,
        until=until,
        types=types,
        agent=agent,
        session_id=session_id,
        q=q,
        limit=limit,
    )
    return History(url, token, query)
