"""Consumers of the stream: how one is created, and where the replay window begins."""

from datetime import UTC, datetime

import msgspec
from nats.aio.client import Client

from .stream import StreamInfo, request, seconds

HEARTBEAT_S = 1.0  # an idle consumer sends a message this often
QUIET_S = 3.0  # without any message for this long, the consumer is lost
_NS = 1_000_000_000


class _Config(msgspec.Struct, kw_only=True):
    deliver_subject: str
    deliver_policy: str
    opt_start_seq: int | msgspec.UnsetType = msgspec.UNSET
    opt_start_time: str | msgspec.UnsetType = msgspec.UNSET
    ack_policy: str = "none"
    flow_control: bool = True
    idle_heartbeat: int = msgspec.field(default_factory=lambda: int(HEARTBEAT_S * _NS))
    inactive_threshold: int = msgspec.field(default_factory=lambda: int(2 * QUIET_S * _NS))
    mem_storage: bool = True
    num_replicas: int = 1


class _Request(msgspec.Struct):
    stream_name: str
    config: _Config


class _Delivered(msgspec.Struct):
    stream_seq: int


class _Info(msgspec.Struct):
    delivered: _Delivered
    num_pending: int


async def create(client: Client, stream: StreamInfo, inbox: str, number: int) -> int:
    """Have everything from `number` on delivered to `inbox`; return how many messages that is now.

    Raises:
        RefusedError, nats.errors.Error: as `request`.
    """
    config = _Config(
        deliver_subject=inbox, deliver_policy="by_start_sequence", opt_start_seq=number
    )
    return (await _create(client, stream, config)).num_pending


async def before_window(
    client: Client, stream: StreamInfo, window_s: float, max_events: int
) -> int:
    """Return the number before the first message that the replay log may still hold.

    Raises:
        RefusedError, nats.errors.Error: as `request`.
    """
    # A new consumer reports the number that a time is at. Nothing listens to this one.
    since = datetime.fromtimestamp(seconds(stream.ts) - window_s, UTC)
    probe = await _create(
        client,
        stream,
        _Config(
            deliver_subject=client.new_inbox(),
            deliver_policy="by_start_time",
            opt_start_time=since.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        ),
    )
    state = stream.state
    return max(probe.delivered.stream_seq, state.last_seq - max_events, state.first_seq - 1)


async def _create(client: Client, stream: StreamInfo, config: _Config) -> _Info:
    name = stream.config.name
    body = msgspec.json.encode(_Request(name, config))
    answer = await request(client, f"CONSUMER.CREATE.{name}", body)
    return msgspec.json.decode(answer, type=_Info)
