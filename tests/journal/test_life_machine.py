"""The journal's whole life against a model: publish, kill, restart, copy, restore, prune, read."""

import asyncio
import json
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from app.channels.bus import new_epoch
from app.events import Position
from app.journal.forgetting import Forgotten, forget
from app.journal.history import Question
from app.journal.journal import Journal
from app.journal.mark import leave_mark, take_mark
from app.journal.writer import Bounds
from tests.kit.journal import NOW_MS, event
from tests.support import FakeClock

BOUNDS = Bounds(64 * 1024 * 1024, 86_400_000)
Place = tuple[str, int]


class LifeMachine(RuleBasedStateMachine):
    """One file over many gateways. What a gateway published and how far it was stored is known."""

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.db"
        self.given: set[Place] = set()  # every number ever given, whatever became of it
        self.present: dict[Place, bytes] = {}  # what the file must hold
        self.perhaps: dict[Place, bytes] = {}  # what it may hold: nobody waited for it
        self.backup: tuple[dict[Place, bytes], dict[Place, bytes]] | None = None
        self.run_gateway()

    def teardown(self) -> None:
        self.loop.run_until_complete(self.journal.close())
        self.loop.close()
        self.folder.cleanup()

    def run_gateway(self) -> None:
        """Start as `Gateway._restore` does."""
        self.journal = Journal(self.path, BOUNDS, FakeClock())
        mark = self.loop.run_until_complete(self.journal.open())
        self.epoch, self.head = (new_epoch(), 0) if mark is None else (mark.epoch, mark.head)
        self.journal.begin(self.epoch, self.head)

    @rule(count=st.integers(1, 5), waits=st.booleans())
    def publish(self, count: int, waits: bool) -> None:
        made = []
        for _ in range(count):
            self.head += 1
            place = (self.epoch, self.head)
            assert place not in self.given, "a number was given twice"
            self.given.add(place)
            made.append((place, event(self.head, "red" if self.head % 2 else "green", "ada")))

        async def offer() -> None:
            for _, one in made:
                self.journal.offer(one)
            if waits:
                await self.journal.stored(self.head)

        self.loop.run_until_complete(offer())
        self.perhaps |= {place: one.encoded for place, one in made}
        if waits:  # then everything before is stored too
            self.present |= self.perhaps
            self.perhaps = {}

    @rule()
    def stop_and_start(self) -> None:
        self.loop.run_until_complete(self.journal.close())
        before = (self.epoch, self.head)
        self.present |= self.perhaps
        self.perhaps = {}
        self.run_gateway()
        assert (self.epoch, self.head) == before

    @rule()
    def kill_and_start(self) -> None:
        """Lose what is not stored: the thread ends before it takes more, and leaves no mark."""
        self.kill()
        old = self.epoch
        self.run_gateway()
        assert self.epoch != old

    def kill(self) -> None:
        self.journal._storing._leaves_mark = False
        self.journal._turn.clear()
        self.journal._storing.pending._items.clear()
        self.loop.run_until_complete(self.journal.close())

    @rule()
    def back_up(self) -> None:
        """Copy the folder of a stopped gateway, as `cp -a` does."""
        self.stop_and_stay()
        copy = Path(self.folder.name) / "backup"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for file in Path(self.folder.name).glob("journal.db*"):
            shutil.copy2(file, copy)
        self.backup = (dict(self.present), dict(self.perhaps))
        self.run_gateway()

    def stop_and_stay(self) -> None:
        self.loop.run_until_complete(self.journal.close())
        self.present |= self.perhaps
        self.perhaps = {}

    @rule(killed=st.booleans())
    def put_back(self, killed: bool) -> None:
        """Restore the copy, its mark included: it is behind, so its epoch must not continue."""
        if self.backup is None:
            return
        self.kill() if killed else self.stop_and_stay()
        for file in Path(self.folder.name).glob("journal.db*"):
            file.unlink()
        for file in (Path(self.folder.name) / "backup").iterdir():
            shutil.copy2(file, self.folder.name)
        self.present, self.perhaps = dict(self.backup[0]), dict(self.backup[1])
        old = self.epoch
        self.run_gateway()
        assert self.epoch != old

    @rule(share=st.floats(0, 1))
    def prune(self, share: float) -> None:
        """`sightline journal prune`, beside the running gateway, of part of the present epoch."""
        if self.perhaps:
            return
        cut = round(self.head * share)
        before = NOW_MS + cut  # the time of a test's event follows its number
        sum(forget(self.path, Forgotten(before_ms=before)))
        self.present = {
            (epoch, number): one for (epoch, number), one in self.present.items() if number >= cut
        }

    @rule(share=st.floats(0, 1))
    def prune_while_stopped(self, share: float) -> None:
        """The same while stopped, as the command does it: the epoch continues."""
        self.stop_and_stay()
        mark = take_mark(self.path)
        before = (self.epoch, self.head)
        cut = round(self.head * share)
        sum(forget(self.path, Forgotten(before_ms=NOW_MS + cut)))
        self.present = {place: one for place, one in self.present.items() if place[1] >= cut}
        assert mark is not None
        leave_mark(self.path, mark.epoch, mark.head)
        self.run_gateway()
        assert (self.epoch, self.head) == before

    @rule(order=st.sampled_from(["asc", "desc"]), limit=st.integers(1, 5), red=st.booleans())
    def read(self, order: str, limit: int, red: bool) -> None:
        found: dict[Place, bytes] = {}
        words = ("red",) if red else ()
        question = Question(limit=limit, order=order, words=words)
        for _ in range(500):
            page = self.loop.run_until_complete(self.journal.page(question))
            if page is None:
                break
            for message in page.messages:
                place = (page.epoch, json.loads(message)["sequence_number"])
                assert place not in found
                found[place] = message
            further = page.newer if order == "asc" else page.older
            if further is None:
                break
            epoch, _, number = further.rpartition(":")
            at = Position(int(number), epoch)
            question = (
                Question(limit=limit, order=order, words=words, after=at)
                if order == "asc"
                else Question(limit=limit, order=order, words=words, before=at)
            )
        else:
            raise AssertionError("the pages never end")
        fits = {p: m for p, m in self.present.items() if not red or b'"red"' in m}
        may = {p: m for p, m in self.perhaps.items() if not red or b'"red"' in m}
        assert fits.items() <= found.items()
        assert found.items() <= (fits | may).items()


LifeMachine.TestCase.settings = settings(max_examples=10, stateful_step_count=12, deadline=None)
TestLife = LifeMachine.TestCase
