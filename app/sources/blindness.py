"""`Blindness`: the folders in which changes may go unseen for a while, and when to look at them again."""

from collections import Counter
from collections.abc import Callable

from .tree import Folder

LIMIT, PERMISSION, UNREADABLE = "limit", "permission", "unreadable"
MOVING = (
    "moving"  # not to be told: it was not there a moment ago, and the folder above will say why
)
FIRST_PAUSE_S = 5.0  # before blind folders are looked at again; doubled each time, up to
LONGEST_PAUSE_S = 30.0
BUSY_SHARE = 20  # looking at them again takes a twentieth of the time at most


class Blindness:
    """Which folders are blind, by reason."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.reasons: dict[Folder, str] = {}
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._began: float | None = None  # when they were looked at again
        self._again_at: float | None = None

    def note(self, folder: Folder, why: str | None) -> None:
        """A folder is blind for this reason, or can be seen."""
        if why == MOVING and self.reasons.get(folder):
            why = UNREADABLE  # and it is still not there
        if why is None:
            self.reasons.pop(folder, None)
        else:
            self.reasons[folder] = why

    def settle(self) -> None:
        """Nothing is left to look at: the pause begins."""
        if not self.reasons:
            self._began = self._again_at = None
            self._pause_s = FIRST_PAUSE_S
        elif self._again_at is None:
            now = self._clock()
            took_s = 0.0 if self._began is None else now - self._began
            self._again_at = now + max(self._pause_s, BUSY_SHARE * took_s)

    def is_due(self) -> bool:
        """Whether the pause is over, and all of them are to be looked at again."""
        now = self._clock()
        if self._again_at is None or now < self._again_at:
            return False
        self._began, self._again_at = now, None
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return True

    def counts(self) -> dict[str, int]:
        """How many folders are blind for each reason."""
        return dict(Counter(why for why in self.reasons.values() if why != MOVING))

    def first(self, reason: str) -> str:
        """The path of one of them."""
        return min(folder.path for folder, why in self.reasons.items() if why == reason)
