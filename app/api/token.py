"""The session token: prove that this gateway has it, and replace it."""

from typing import Annotated

import msgspec
from litestar import post
from litestar.di import NamedDependency

from ..auth.guards import arrived_at
from ..auth.proof import NONCE
from ..auth.tokens import Keyring
from ..errors import BadRequestError, UnavailableError
from .login import MAX_BODY_BYTES, HTTPRequest


class Challenge(msgspec.Struct):
    """A random text that the caller has used for nothing else."""

    nonce: Annotated[str, msgspec.Meta(pattern=f"^{NONCE.pattern}$")]


class Proof(msgspec.Struct):
    """`run` names this run of the gateway; `proof` is made of the nonce with the session token."""

    run: str
    proof: str


@post("/api/challenge", opt={"open": True}, status_code=200, request_max_body_size=MAX_BODY_BYTES)
async def challenge(request: HTTPRequest, keyring: NamedDependency[Keyring]) -> Proof:
    """Prove to a client that has the session token that this gateway has it too."""
    try:
        nonce = msgspec.json.decode(await request.body(), type=Challenge).nonce
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise BadRequestError('send {"nonce":"…"}, 32 to 128 of A-Z a-z 0-9 _ -') from None
    address = arrived_at(request.scope)
    if address is None:
        raise BadRequestError("a proof names a TCP address: connect to one")
    return Proof(keyring.run, keyring.prove(nonce, address))


@post("/api/token", opt={"token_only": True}, status_code=204)
async def rotate_token(keyring: NamedDependency[Keyring]) -> None:
    """Replace the session token, in its file too, and close all that came in by the old one."""
    try:
        keyring.rotate()
    except OSError as error:
        raise UnavailableError(
            f"the new token cannot be written ({error.strerror}), so the old one stays:"
            " see that the state folder can be written, then try again"
        ) from None


ROUTES = (challenge, rotate_token)
