"""What the publisher does with secrets: before the catalog, in errors, in types and in keys."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import pytest

from app.catalog import registry
from app.catalog.registry import Catalog
from app.channels.backend import MemoryBackend
from app.channels.bus import Contents
from app.channels.publisher import EventPublisher
from app.errors import EventTooLargeError, InvalidDataError, PublishError, UnknownEventTypeError
from app.events import Event
from app.redaction import Redactor, choice_of
from tests.redaction.secrets import forms
from tests.support import FakeClock, make_bus

TOKEN = forms(1)[0].secret


class Keys(MemoryBackend):
    """Keeps the keys that it was given."""

    keys: Sequence[str | None] = ()

    def submit(
        self, type_: str, timestamp: str, contents: Contents, key: str | None = None
    ) -> Event:
        self.keys = (*self.keys, key)
        return super().submit(type_, timestamp, contents, key)


@pytest.fixture
def backend() -> Keys:
    return Keys(make_bus(FakeClock()))


@pytest.fixture
def publisher(backend: Keys) -> EventPublisher:
    return EventPublisher(backend, Catalog(["plugin"]), FakeClock(), 1000)


async def test_the_event_and_its_number_know_no_secret_and_the_callers_dict_stays(
    publisher: EventPublisher,
) -> None:
    data, metadata = {"a": [TOKEN], "n": 2**70}, {TOKEN: "x"}
    event = await publisher.publish("plugin.up", data, metadata)
    assert TOKEN.encode() not in event.encoded
    assert event.data == {"a": ["[redacted:token]"], "n": 2**70}
    assert event.metadata == {"[redacted:token-1]": "x"}
    assert (data["a"], list(metadata)) == ([TOKEN], [TOKEN])


async def test_the_catalog_checks_what_is_left(
    publisher: EventPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(msgspec.Struct):
        """A text that has no room for a mark."""

        pin: Annotated[str, msgspec.Meta(max_length=4)]

    monkeypatch.setitem(registry._STRUCTS, "plugin.short", Short)
    redactor = Redactor(choice_of(("key:pin",)))
    chosen = EventPublisher(
        MemoryBackend(make_bus(FakeClock())), Catalog(), FakeClock(), 1000, redactor=redactor
    )
    await publisher.publish("plugin.short", {"pin": "1234"})
    with pytest.raises(InvalidDataError, match=r"at `\$.pin`"):
        await chosen.publish("plugin.short", {"pin": "1234"})


async def test_an_event_that_the_marks_make_too_large_is_refused(backend: Keys) -> None:
    keys = tuple(f"key:k{number}" for number in range(9))
    redactor = Redactor(choice_of(keys))
    publisher = EventPublisher(backend, Catalog(["plugin"]), FakeClock(), 150, redactor=redactor)
    with pytest.raises(EventTooLargeError):
        await publisher.publish("plugin.up", {f"k{number}": "x" for number in range(9)})


@pytest.mark.parametrize("type_", [TOKEN, f"plugin.{TOKEN}", f"plugin.{TOKEN.lower()}"])
async def test_a_secret_as_a_type_is_refused_and_not_shown(
    publisher: EventPublisher, type_: str
) -> None:
    with pytest.raises(UnknownEventTypeError) as caught:
        await publisher.publish(type_, {})
    assert TOKEN.lower()[4:] not in str(caught.value).lower()


async def test_no_error_repeats_a_secret(publisher: EventPublisher) -> None:
    for data in (
        {"role": "user", "content": {TOKEN: 1}},
        {"role": TOKEN, "content": 1},
        {"role": "user", "content": float("nan"), TOKEN: TOKEN},
        {"role": "user", TOKEN: object()},
        {"role": "user", (TOKEN,): 1},
        {"role": "user", "content": TOKEN + "\ud800"},
    ):
        with pytest.raises(PublishError) as caught:
            await publisher.publish("chat.message_sent", data)  # type: ignore[arg-type]
        assert TOKEN[4:] not in str(caught.value)
    with pytest.raises(PublishError) as caught:
        await publisher.publish("plugin.up", {}, key=TOKEN + "\n")
    assert TOKEN[4:] not in str(caught.value)


async def test_a_key_that_is_a_secret_becomes_its_digest_and_stays_one_key(
    publisher: EventPublisher, backend: Keys
) -> None:
    for key in (TOKEN, TOKEN, "order-7"):
        await publisher.publish("plugin.up", {}, key=key)
    await publisher.publish_all([("plugin.up", {}, {})], [TOKEN])
    first, again, other, batch = backend.keys
    assert first == again == batch
    assert (len(first or ""), other) == (64, "order-7")
