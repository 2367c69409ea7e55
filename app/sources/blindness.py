"""`Blindness`: the folders in which changes may be missed, and when to look at them again."""

from collections import Counter
from collections.abc import Callable

from .tree import Folder

LIMIT, PERMISSION, UNREADABLE = "limit", "permission", "unreadable"
MOVING = "moving"  # not reported: just moved or removed, which the folder above will show
FIRST_PAUSE_S = 5.0  # before blind folders are read again; doubled each time, up to
LONGEST_PAUSE_S = 30.0
BUSY_SHARE = 20  # the pause is at least 20 times as long as reading them took


class Blindness:
    """The blind folders and their reasons."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.reasons: dict[Folder, str] = {}
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._began: float | None = None  # when the last retry began
        self._again_at: float | None = None

    def note(self, folder: Folder, why: str | None) -> None:
        """Record that a folder is blind for this reason, or no longer blind (None)."""
        if why == MOVING and self.reasons.get(folder):
            why = UNREADABLE  # still missing at the second look
        if why is None:
            self.reasons.pop(folder, None)
        else:
            self.reasons[folder] = why

    def settle(self) -> None:
        """Start the pause before the next retry, once all folders have been looked at."""
        if not self.reasons:
            self._began = self._again_at = None
            self._pause_s = FIRST_PAUSE_S
        elif self._again_at is None:
            now = self._clock()
            took_s = 0.0 if self._began is None else now - self._began
            self._again_at = now + max(self._pause_s, BUSY_SHARE * took_s)

    def is_due(self) -> bool:
        """Whether the pause is over, so that all blind folders are to be looked at again."""
        now = self._clock()
        if self._again_at is None or now < self._again_at:
            return False
        self._began, self._again_at = now, None
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return True

    def counts(self) -> dict[str, int]:
        """The number of blind folders by reason."""
        return dict(Counter(why for why in self.reasons.values() if why != MOVING))

    def first(self, reason: str) -> str:
        """The first path, in alphabetical order, that is blind for this reason."""
        return min(folder.path for folder, why in self.reasons.items() if why == reason)
