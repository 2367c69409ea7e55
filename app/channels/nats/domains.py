"""The start on a stream, where JetStream may have several domains, as with leaf nodes.

Subjects cross from one domain to another and the JetStream API does not, so that one publish may be
kept by a stream in each, unseen.
"""

import asyncio

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from ...errors import SettingsError
from ...settings import PREFIX
from . import stream
from .message import subject_of

PROBE_S = 0.5  # in which every stream that takes the events, however far away, answers


class _ProbeAnswer(msgspec.Struct):
    stream: str = ""


async def look_first(client: Client, asked: stream.StreamConfig) -> stream.StreamInfo:
    """`stream.look`, at the start of a gateway: with one stream alone does an event have one number.

    Raises:
        SettingsError: what is published reaches more streams than one, in several domains.
        RefusedError, nats.errors.Error: as `stream.request`.
    """
    if takers := await _takers(client):
        try:  # one may be that of another domain: then none must be made here
            await stream.request(client, f"STREAM.INFO.{asked.name}")
        except stream.RefusedError as refused:
            if refused.error.err_code != stream.NOT_FOUND:
                raise
            raise _ambiguous([*takers, asked.name]) from None
    found = await stream.look(client, asked)
    if not takers:  # another gateway may have made one at the same moment
        takers = await _takers(client)
    if len(takers) > 1:
        raise _ambiguous(takers)
    return found


async def _takers(client: Client) -> list[str]:
    """The names of all streams, of whatever domain, that would keep a message under our subjects.

    Each refuses a message that expects another stream, and keeps nothing.
    """
    takers: list[str] = []

    async def on_answer(message: Msg) -> None:
        if message.data:  # without any, the server says that nobody takes it
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
        f" JetStream domains, and so have several numbers: name one domain in {PREFIX}NATS_DOMAIN of"
        " all gateways, and delete the stream in each other one (`nats stream rm --js-domain …`)"
    )
