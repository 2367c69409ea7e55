"""Sightline: an event gateway that shows people what their AI agents are doing, as it happens.

Only the names below are public; each is imported when it is first used. In an installed environment
this package is called `sightline`.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litestar import Litestar

    from .catalog import event_type as event_type
    from .channels.bus import EventBus as EventBus
    from .channels.litestar_backend import SightlineChannelsBackend as SightlineChannelsBackend
    from .channels.publisher import EventPublisher as EventPublisher
    from .events import Event as Event, Gap as Gap
    from .plugin import SightlinePlugin as SightlinePlugin
    from .settings import Settings as Settings

__all__ = [
    "Event",
    "EventBus",
    "EventPublisher",
    "Gap",
    "Settings",
    "SightlineChannelsBackend",
    "SightlinePlugin",
    "create_app",
    "event_type",
]
_HOMES = {
    "Event": "events",
    "EventBus": "channels.bus",
    "EventPublisher": "channels.publisher",
    "Gap": "events",
    "Settings": "settings",
    "SightlineChannelsBackend": "channels.litestar_backend",
    "SightlinePlugin": "plugin",
    "event_type": "catalog",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def create_app() -> "Litestar":
    """Build the gateway from the environment's settings; exit with one line if one is invalid."""
    from .errors import SettingsError
    from .settings import Settings

    try:
        settings = Settings.from_environ(os.environ)
        from .main import create_app as build

        return build(settings)
    except SettingsError as error:
        print(f"sightline: {error}", file=sys.stderr)
        raise SystemExit(3) from None  # supervisors of workers do not restart then
