"""`replay`: publish a recording again, each event when it is due."""

import time

import click

from sightline_client.sync import Publisher

from .publishing import progress, send
from .recordings import Recorded, read_events, schedule

AT_MOST_AT_ONCE = 1000


def replay(path: str, speed: float, rate: float | None) -> None:
    """Check the whole file first, then publish it.

    Raises:
        RecordingError: a line is not an event, or has no timestamp to go by.
        PublishError: the gateway refuses an event.
    """
    with open(path, "rb") as file:
        total = sum(1 for _ in schedule(read_events(file, path), speed, rate, path))
    done = 0
    began = time.monotonic()
    with open(path, "rb") as file, Publisher() as publisher, progress() as bar:
        task = bar.add_task(path, total=total)
        due: list[Recorded] = []

        def publish_due() -> None:
            nonlocal done
            for _ in send(publisher, due, path):
                done += 1
            due.clear()
            bar.update(task, completed=done)

        try:
            for due_s, recorded in schedule(read_events(file, path), speed, rate, path):
                ahead_s = began + due_s - time.monotonic()
                if ahead_s > 0 or len(due) == AT_MOST_AT_ONCE:
                    publish_due()
                    time.sleep(max(began + due_s - time.monotonic(), 0))
                due.append(recorded)
            publish_due()
        finally:
            took_s = time.monotonic() - began
            click.echo(
                f"replayed {done:,} of {total:,} events in {took_s:.1f} s"
                f" ({done / max(took_s, 0.001):,.0f} a second)",
                err=True,
            )
