"""Chooses the channel backend of a gateway: in memory, or NATS JetStream."""

from .channels.backend import ChannelBackend, MemoryBackend
from .channels.bus import EventBus
from .errors import CloseCode, SettingsError
from .redaction import Redactor
from .settings import Settings
from .ws.messages import Notice, encode
from .ws.registry import ConnectionRegistry


def backend_of(
    settings: Settings, bus: EventBus, registry: ConnectionRegistry, redactor: Redactor
) -> ChannelBackend:
    """The channel backend that the settings choose.

    Raises:
        SettingsError: NATS is chosen, and its client is not installed.
    """
    if settings.nats_url is None:
        return MemoryBackend(bus)
    try:
        from .channels.nats.backend import JetStreamBackend
        from .channels.nats.intake import Intake
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"SIGHTLINE_NATS_URL needs {error.name}: pip install 'sightline-gateway[nats]'"
        ) from error

    def close_all() -> None:
        registry.close_all(CloseCode.RESTART, "the stream continues elsewhere: reconnect")

    def report(connected: bool) -> None:
        now = bus.clock.timestamp()
        notice = Notice.backend_back(now) if connected else Notice.backend_away(now)
        registry.send_all(encode(notice))

    intake = Intake(redactor, settings.max_event_bytes)
    return JetStreamBackend(bus, settings, close_all, report, intake)
