"""An issuer of JWT: its keys, its JWKS, and tokens as it signs them."""

import json
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://login.example.org/"
AUDIENCE = "sightline"
SETTINGS: dict[str, Any] = {"jwt_issuer": ISSUER, "jwt_audience": (AUDIENCE,)}
FOR_S = 3600


@lru_cache(maxsize=8)
def rsa_key(bits: int = 2048, which: int = 0) -> rsa.RSAPrivateKey:
    """A key; another one for each `which`."""
    return rsa.generate_private_key(65537, bits)


@lru_cache(maxsize=8)
def ec_key(curve: str = "secp256r1") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(
        {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1(), "secp521r1": ec.SECP521R1()}[
            curve
        ]
    )


@lru_cache(maxsize=1)
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def jwk_of(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    """The public half of a key, as a JWKS has it."""
    public = key.public_key()
    for kind, algorithm in (
        (rsa.RSAPublicKey, RSAAlgorithm),
        (ec.EllipticCurvePublicKey, ECAlgorithm),
        (ed25519.Ed25519PublicKey, OKPAlgorithm),
    ):
        if isinstance(public, kind):
            found = json.loads(algorithm.to_jwk(public))
    return {**found, **({} if kid is None else {"kid": kid}), **more}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def claims(now: float, subject: str = "alice", **more: Any) -> dict[str, Any]:
    """What the issuer says of a subject; a value of None leaves a claim out."""
    found = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": int(now) + FOR_S, **more}
    return {name: value for name, value in found.items() if value is not None}


def signed(
    said: dict[str, Any],
    key: Any = None,
    algorithm: str = "RS256",
    kid: str | None = "one",
    **header: Any,
) -> str:
    """A token, by default of the first RSA key."""
    headers = {**({} if kid is None else {"kid": kid}), **header}
    return jwt.encode(said, rsa_key() if key is None else key, algorithm, headers)
