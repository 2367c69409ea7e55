"""Sightline: `litestar run` finds `create_app` here."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litestar import Litestar


def create_app() -> "Litestar":
    """The application with settings from the environment; a bad setting ends it in one line."""
    from app.errors import SettingsError
    from app.settings import Settings

    try:
        settings = Settings.from_environ(os.environ)
        from app.main import create_app as build

        return build(settings)
    except SettingsError as error:
        print(f"sightline: {error}", file=sys.stderr)
        raise SystemExit(3) from None  # supervisors of workers take it as: do not try again
