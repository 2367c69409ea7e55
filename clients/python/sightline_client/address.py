"""Where the gateway is, and the token for it: given, from the environment, or found in a folder."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec

from sightline_client.errors import AddressError
from sightline_client.state import NotOursError, read_kept

STATE_DIR = ".sightline"
URL_FILE = "gateway.url"
TOKEN_FILE = "session.token"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_PLAIN = {"http": "http", "ws": "http", "https": "https", "wss": "https"}


class Address(msgspec.Struct, frozen=True):
    """`url` is `http://host:port` or `https://…`, without a slash at its end.

    `kept` is the token of the state folder that the token or the URL was found in, else empty. By it
    the gateway has to prove itself first: `sightline_client.proof.prove` returns the address to use.
    """

    url: str
    token: str
    kept: str = ""

    def __repr__(self) -> str:
        """Everything but the token."""
        return f"Address(url={self.url!r}, token=[redacted])"

    @property
    def socket_url(self) -> str:
        """The same place for a WebSocket."""
        return "ws" + self.url.removeprefix("http") + "/ws"

    @property
    def headers(self) -> dict[str, str]:
        """The credential. `Authorization`, as HTTP libraries drop it when sent on elsewhere.

        Raises:
            AddressError: the gateway has not proven itself.
        """
        if self.kept:
            raise AddressError(f"{self.url} is from a state folder: call prove(address) first")
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def local(self) -> bool:
        """Whether the address is of this machine: then no proxy is used."""
        return urlsplit(self.url).hostname in _LOOPBACK


def find(
    url: str | None = None,
    token: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> Address:
    """Return the gateway's address and token; each is looked for by itself.

    What is given comes first, then `SIGHTLINE_URL` and `SIGHTLINE_SESSION_TOKEN`, then the files
    that a gateway keeps in `.sightline` of `folder` (the current one) or its nearest parent. The
    token of a file goes only to the gateway of that file's folder, or to this machine; the token of
    the environment only to a URL that was given. Files that somebody else may have written do not
    count.

    Raises:
        AddressError: one of the two is nowhere to be found, or the URL is not one.
    """
    given = url or environ.get("SIGHTLINE_URL")
    base = _base(given) if given else None
    if base:
        token = token or environ.get("SIGHTLINE_SESSION_TOKEN")
        if token:
            return Address(base, token)
    ignored: list[str] = []
    for state_dir in _state_dirs(environ, folder or Path.cwd()):
        kept = _line(state_dir / URL_FILE, ignored)
        own = _base(kept) if kept else None
        place = base or own
        if place is None:
            continue
        is_for_it = place == own or Address(place, "").local
        kept_token = _line(state_dir / TOKEN_FILE, ignored) if is_for_it else ""
        if token or kept_token:
            return Address(place, token or kept_token, kept_token or token or "")
    missing = f"no token for {base}" if base else "no gateway"
    option = "token=… or set SIGHTLINE_SESSION_TOKEN" if base else "url=… or set SIGHTLINE_URL"
    raise AddressError(
        f"{missing}: nothing in {STATE_DIR} of this folder or a parent; start the gateway here,"
        f" or give {option}" + "".join(f"; {why}" for why in ignored)
    )


def _base(url: str) -> str:
    parts = urlsplit(url)
    try:
        usable = parts.scheme in _PLAIN and parts.hostname and parts.port != 0
    except ValueError:  # a port that is not a number
        usable = False
    if not usable or parts.username is not None:
        raise AddressError(f"{url!r} is not a gateway's URL: give one like http://127.0.0.1:3000")
    path = parts.path.rstrip("/").removesuffix("/ws")
    return urlunsplit((_PLAIN[parts.scheme], parts.netloc, path, "", ""))


def _state_dirs(environ: Mapping[str, str], folder: Path) -> Iterator[Path]:
    configured = environ.get("SIGHTLINE_STATE_DIR")
    if configured:
        yield folder / Path(configured).expanduser()
        return
    for parent in (folder, *folder.parents):
        yield parent / STATE_DIR


def _line(path: Path, ignored: list[str]) -> str:
    """The file's line; nothing if there is no file, or if it is not trusted, with the reason."""
    try:
        return read_kept(path)
    except NotOursError as error:
        ignored.append(str(error))
        return ""
