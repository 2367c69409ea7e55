"""The first look at the stream, which detects several JetStream domains, as with leaf nodes.

Subjects cross domains and the JetStream API does not. So a stream in each domain may store the same
publish, and no gateway would notice.
"""

import asyncio

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from ...errors import SettingsError
from ...settings import PREFIX
from . import stream
from .message import subject_of

PROBE_S = 0.5  # time for every stream that stores the events to answer


class _ProbeAnswer(msgspec.Struct):
    stream: str = ""


async def find_unambiguous(client: Client, asked: stream.StreamConfig) -> stream.StreamInfo:
    """Find or create the stream at the start, and make sure that no other stream stores events.

    Raises:
        SettingsError: events would reach several streams, in several domains.
        RefusedError, nats.errors.Error: as `stream.request`.
    """
    if takers := await _takers(client):
        try:  # it may be in another domain: then create none here
            await stream.request(client, f"STREAM.INFO.{asked.name}")
        except stream.RefusedError as refused:
            if refused.error.err_code != stream.NOT_FOUND:
                raise
            raise _ambiguous([*takers, asked.name]) from None
    found = await stream.find_or_create(client, asked)
    if not takers:  # another gateway may have created one at the same moment
        takers = await _takers(client)
    if len(takers) > 1:
        raise _ambiguous(takers)
    return found


async def _takers(client: Client) -> list[str]:
    """The names of the streams, in any domain, that would store a message under our subjects.

    The probe expects a stream that does not exist, so each refuses it and stores nothing.
    """
    takers: list[str] = []

    async def on_answer(message: Msg) -> None:
        if message.data:  # an empty answer means that no stream takes it
            takers.append(msgspec.json.decode(message.data, type=_ProbeAnswer).stream)

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=on_answer)
    try:
        headers = {"Nats-Expected-Stream": "no-stream-has-this-name"}
        await client.publish(subject_of("sightline.probe"), reply=inbox, headers=headers)
        await asyncio.sleep(PROBE_S)
    finally:
        await subscription.unsubscribe()
    return takers


def _ambiguous(takers: list[str]) -> SettingsError:
    names = ", ".join(map(repr, takers))
    return SettingsError(
        f"events published to NATS here would be kept by {len(takers)} streams ({names}), in several"
        f" JetStream domains, and get several numbers: name one domain in {PREFIX}NATS_DOMAIN of"
        " all gateways, and delete the stream in each other one (`nats stream rm --js-domain …`)"
    )
