"""`StreamClient`: nats-py's client, with what it leaves to trust taken out."""

import ssl
from importlib.util import find_spec
from urllib.parse import urlsplit

from nats.aio.client import Client

from ...errors import SettingsError
from ...settings import PREFIX


class StreamClient(Client):
    """A connection to the JetStream API of one domain, or of the server's own."""

    def __init__(self, domain: str | None = None) -> None:
        super().__init__()
        self.api = f"$JS.{domain}.API" if domain else "$JS.API"

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        """Whatever anybody wrote into the headers of a message, the connection goes on."""
        try:
            return await super()._process_headers(headers)
        except Exception:
            return None

    def _connect_command(self) -> bytes:
        """Send no credential in the clear where `tls://` asks for encryption."""
        server = self._current_server
        if server and server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise ssl.SSLError(1, "NATS offers no TLS at this address, and tls:// asks for it")
        return super()._connect_command()


def check_urls(urls: str) -> None:
    """Refuse what nats-py cannot connect to as it is installed.

    Raises:
        SettingsError: says what is missing.
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
