"""`StreamClient`: nats-py's client, hardened against bad headers and a missing TLS."""

import ssl
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

from nats.aio.client import Client

from ...errors import SettingsError
from ...settings import PREFIX


class StreamClient(Client):
    """A client for the JetStream API of one domain; None is the server's own domain."""

    def __init__(self, domain: str | None = None) -> None:
        super().__init__()
        self.api = f"$JS.{domain}.API" if domain else "$JS.API"

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        """Parse headers; malformed ones are None, so that no message can end the connection."""
        try:
            return await super()._process_headers(headers)
        except Exception:
            return None

    def _connect_command(self) -> bytes:
        """Refuse to send credentials unencrypted to a `tls://` address; decode those of the address."""
        server = self._current_server
        if server and server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise ssl.SSLError(1, "NATS offers no TLS at this address, and tls:// asks for it")
        if server:
            # nats-py would send a name and a password as the address spells them, percent signs and
            # all. A name alone is a token. One server's are never sent to the next.
            name, password = server.uri.username, server.uri.password
            found = None if name is None else unquote(name)
            self.options["token"] = found if password is None else None
            self.options["user"] = None if password is None else found
            self.options["password"] = None if password is None else unquote(password)
        return super()._connect_command()


def check_urls(urls: str) -> None:
    """Refuse addresses that the installed nats-py cannot connect to.

    Raises:
        SettingsError: names the missing package, or the mixed schemes.
    """
    schemes = {urlsplit(url).scheme for url in urls.split(",")}
    web = schemes & {"ws", "wss"}
    if web and find_spec("aiohttp") is None:
        raise SettingsError(
            f"{PREFIX}NATS_URL: {min(web)}:// needs aiohttp: pip install 'sightline-gateway[nats-ws]',"
            " or give a nats:// or tls:// address"
        )
    if web and schemes - web:
        raise SettingsError(
            f"{PREFIX}NATS_URL: give either ws:// and wss:// addresses or nats:// and tls:// ones"
        )
