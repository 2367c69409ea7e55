"""docs/nats.md: what it says of a message, and its example, against a real stream."""

import asyncio
import json
import re
import sys

from nats.aio.client import Client

from tests.contract.conftest import MakeRig
from tests.kit.waiting import WATCHDOG_S, until
from tests.snippets import ROOT, snippets

BODY, READ = snippets("docs/nats.md", "json python")
CHAT = {"role": "user", "content": "Hello"}


async def test_a_message_is_as_the_page_says(
    nats_url: str, make_rig: MakeRig, stream_name: str
) -> None:
    rig = await make_rig(nats_url)
    event = await rig.publisher.publish("chat.message_sent", CHAT, key="greeting")
    client = Client()
    await client.connect(nats_url)
    message = await client.jetstream().get_msg(stream_name, event.sequence_number)
    created = (await client.request(f"$JS.API.STREAM.INFO.{stream_name}", b"")).data
    await client.close()
    assert message.subject == "sightline.events.chat.message_sent"
    assert message.headers == {"Nats-Msg-Id": "greeting"}
    assert message.data is not None
    said = re.sub(r'"timestamp":"[^"]*"', f'"timestamp":"{event.timestamp}"', BODY.strip())
    assert message.data.decode() == said
    assert rig.bus.epoch == re.sub("[-:]", "", json.loads(created)["created"])


async def test_the_example_reads_what_is_there_and_what_comes(
    nats_url: str, make_rig: MakeRig
) -> None:
    rig = await make_rig(nats_url)
    first = await rig.publisher.publish("chat.message_sent", CHAT)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", READ), env={"NATS_URL": nats_url}, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        async with asyncio.timeout(WATCHDOG_S):
            line = await process.stdout.readline()
            assert line.decode() == f"1 chat.message_sent {first.timestamp} {CHAT}\n"
            second = await rig.publisher.publish("plugin.up", {"n": 2})
            line = await process.stdout.readline()
            assert line.decode() == f"2 plugin.up {second.timestamp} {{'n': 2}}\n"
    finally:
        process.kill()
        await process.wait()
    await until(lambda: rig.bus.head == 2)


def test_the_page_is_found_from_the_others() -> None:
    for page in ("docs/scaling.md", "docs/troubleshooting.md", "docs/index.md"):
        assert "(nats.md" in (ROOT / page).read_text(encoding="utf-8")
