"""Which JWT bearer tokens count: none without the settings. Knows the extra `jwt` only by name."""

from typing import Protocol

from ..errors import SettingsError
from ..events import Clock
from ..settings import Settings
from .credentials import Credential

_NEEDED = {"jwt_issuer": "SIGHTLINE_JWT_ISSUER", "jwt_audience": "SIGHTLINE_JWT_AUDIENCE"}


class Bearers(Protocol):
    """Checks bearer tokens that an issuer has signed."""

    def credential(self, candidate: bytes) -> Credential | None:
        """The credential of a token; None if it is none of an issuer.

        Raises:
            UnauthorizedError: the token is not valid.
            UnavailableError: the tokens cannot be checked now.
        """

    async def watch(self) -> None:
        """Keep the issuer's keys fresh until cancelled."""


def bearers_of(settings: Settings, clock: Clock) -> Bearers | None:
    """What checks JWT; None without `SIGHTLINE_JWT_JWKS`.

    Raises:
        SettingsError: a setting or the extra `jwt` is missing, or the file of keys cannot be used.
    """
    given = [variable for name, variable in _NEEDED.items() if getattr(settings, name)]
    if settings.jwt_jwks is None:
        if given:
            raise SettingsError(f"{given[0]} needs SIGHTLINE_JWT_JWKS, the issuer's public keys")
        return None
    if missing := [variable for variable in _NEEDED.values() if variable not in given]:
        raise SettingsError(
            f"SIGHTLINE_JWT_JWKS needs {missing[0]}: without it, tokens that were made for others"
            " would count here"
        )
    try:
        from .jwt_tokens import jwt_of
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"SIGHTLINE_JWT_JWKS needs {error.name}: pip install 'sightline-gateway[jwt]'"
        ) from error
    return jwt_of(settings, clock)
