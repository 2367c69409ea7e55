"""Prove that this gateway has the session token, and replace the token."""

from typing import Annotated

import msgspec
from litestar import post
from litestar.di import NamedDependency

from ..auth.proof import NONCE, arrived_at
from ..auth.tokens import Keyring
from ..errors import BadRequestError, UnavailableError
from .login import MAX_BODY_BYTES, HTTPRequest


class Challenge(msgspec.Struct):
    """`nonce` is a random text that the caller uses once."""

    nonce: Annotated[str, msgspec.Meta(pattern=f"^{NONCE.pattern}$")]


class Proof(msgspec.Struct):
    """`run` names this run of the gateway; `proof` hashes the nonce, keyed by the session token."""

    run: str
    proof: str


@post("/api/challenge", opt={"open": True}, status_code=200, request_max_body_size=MAX_BODY_BYTES)
async def challenge(request: HTTPRequest, keyring: NamedDependency[Keyring]) -> Proof:
    """Prove that this gateway has the session token, without sending it."""
    try:
        nonce = msgspec.json.decode(await request.body(), type=Challenge).nonce
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise BadRequestError('send {"nonce":"…"}, 32 to 128 of A-Z a-z 0-9 _ -') from None
    address = arrived_at(request.scope)
    if address is None:
        raise BadRequestError("a proof needs a TCP connection: connect over TCP")
    return Proof(keyring.run, keyring.prove(nonce, address))


@post("/api/token", opt={"token_only": True, "scope": "admin"}, status_code=204)
async def rotate_token(keyring: NamedDependency[Keyring]) -> None:
    """Replace the session token, also in its file, and close the old token's connections."""
    try:
        keyring.rotate()
    except OSError as error:
        raise UnavailableError(
            f"the new token cannot be written ({error.strerror}), so the old one stays valid:"
            " make the state folder writable, then try again"
        ) from None


ROUTES = (challenge, rotate_token)
