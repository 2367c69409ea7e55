"""`history` without asyncio: `sightline_client.sync` exports it."""

from collections.abc import Iterable, Iterator
from functools import partial

import httpx

from sightline_client.address import find
from sightline_client.events import KnownData
from sightline_client.messages import Item, Position
from sightline_client.pages import PAGE, Order, Page, Paging, Time, page_of, query_of
from sightline_client.proof import Proven
from sightline_client.wire import PATH, TIMEOUT_S, unreachable, uses_proxies


class Pages:
    """As `sightline_client.history.Pages`."""

    def __init__(self, gateway: Proven) -> None:
        self._gateway = gateway
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=uses_proxies(gateway.found))

    def get(self, query: dict[str, str]) -> Page:
        """Ask for one page; raises as its asynchronous namesake."""
        answer = self._try(query)
        if answer.status_code == 401 and self._gateway.refused():
            answer = self._try(query)
        return page_of(answer)

    def close(self) -> None:
        self._http.close()

    def _try(self, query: dict[str, str]) -> httpx.Response:
        headers = self._gateway.headers
        address = self._gateway.found
        try:
            return self._http.get(address.url + PATH, params=query, headers=headers)
        except httpx.HTTPError as error:
            raise unreachable(address, error) from error


class History:
    """As `sightline_client.History`, with a plain `for`."""

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

    def __iter__(self) -> Iterator[Item]:
        """Read from the beginning."""
        paging = self._paging = Paging(self._query)
        pages = Pages(Proven(self._find))
        try:
            while paging.query is not None:
                yield from paging.read(pages.get(paging.query))
        finally:
            pages.close()


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
    """As `sightline_client.history`, with a plain `for`."""
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
