"""Makes the journal that the settings describe."""

from collections.abc import Callable

from ..events import Clock
from ..settings import Settings
from .journal import Journal, JournalStatus
from .writer import Bounds

MS_OF_A_DAY = 86_400_000


def journal_of(
    settings: Settings, clock: Clock, on_change: Callable[[JournalStatus], None]
) -> Journal | None:
    """The journal, not yet open; None if the settings name no file. `on_change`: see `Journal`."""
    if settings.journal_path is None:
        return None
    bounds = Bounds(settings.journal_max_bytes, int(settings.journal_max_age_days * MS_OF_A_DAY))
    leave_out = frozenset(settings.journal_leave_out)
    return Journal(
        settings.journal_path,
        bounds,
        clock,
        leave_out,
        on_change,
        numbers_are_ours=settings.nats_url is None,
    )
