"""Posts to an endpoint over HTTP, bounded in time and bytes."""

import asyncio
from collections.abc import Mapping
from importlib.metadata import version

import httpx

from .attempts import Answer, retry_after
from .endpoint import Endpoint

CONNECT_S = 5.0
ATTEMPT_S = 15.0  # for the whole of one attempt, whatever trickles in
MAX_ANSWER_BYTES = 64 * 1024  # read so that the connection can be used again; more ends it
_TIMEOUTS = {"connect": CONNECT_S, "read": ATTEMPT_S, "write": ATTEMPT_S, "pool": ATTEMPT_S}


class Poster:
    """One connection to an endpoint, opened when it is needed.

    The bare transport of httpx follows no redirect, keeps no cookie, reads no `.netrc` and logs no
    URL. It checks TLS certificates against certifi's, or those in `SSL_CERT_FILE`.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._url = httpx.URL(endpoint.address)
        self._headers = {"user-agent": f"sightline/{version('sightline-gateway')}"}
        if endpoint.authorization is not None:
            self._headers["authorization"] = endpoint.authorization
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self._transport = httpx.AsyncHTTPTransport(limits=limits)

    async def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Make one attempt. Never raises but for cancellation; an error shows no URL."""
        request = httpx.Request(
            "POST",
            self._url,
            headers={**self._headers, **headers},
            content=body,
            extensions={"timeout": _TIMEOUTS},
        )
        try:
            async with asyncio.timeout(ATTEMPT_S):
                return await self._post(request)
        except TimeoutError:
            return Answer(error=f"no answer within {ATTEMPT_S:g} s")
        except Exception as error:
            return Answer(error=_shown(error))

    async def _post(self, request: httpx.Request) -> Answer:
        response = await self._transport.handle_async_request(request)
        try:
            left = MAX_ANSWER_BYTES
            async for part in response.aiter_raw():
                left -= len(part)
                if left < 0:
                    break
        finally:
            await response.aclose()
        header = response.headers.get("retry-after", "")
        return Answer(response.status_code, retry_after_s=retry_after(header))

    async def close(self) -> None:
        """Close the connection."""
        await self._transport.aclose()


def _shown(error: Exception) -> str:
    """The error for logs. Of a connection that was made, its text may quote what the endpoint sent,
    and an endpoint may repeat what it gets.
    """
    name = type(error).__name__
    if isinstance(error, httpx.ConnectError):  # also of a TLS certificate
        return f"{name}: {error.__cause__ or error}"[:200]
    return name
