"""How much of an engine's cache may be taken at once: learnt from what it turns out to have evicted."""

from __future__ import annotations

from collections.abc import Iterable

from .jobs import Job, Warm
from .radix import TOKEN, RadixTree

_LEAST = 4  # never below this part of what the engine says it holds: it must still be fed
_STEPS = 256  # replies that found what was expected, from nothing to all that the engine says it holds


class Room:
    """The tokens that jobs under way take, and how many the engine is thought to have room for.

    A window as networks have it: a quarter less where the engine turns out to have evicted what was to be used, and a
    little more with every reply that found what the tree promised. A prefix computed ahead takes its room until the
    last job that waited for it is over, so that a small cache is not filled with prefixes whose dependents find them
    gone.

    Args:
        tree: What the engine is thought to hold.

    Attributes:
        capacity: Tokens that may be taken.
        taken: Tokens of jobs under way that were not held before, and of prefixes whose dependents are not over.
    """

    def __init__(self, tree: RadixTree) -> None:
        self._tree = tree
        self._most = self.capacity = tree.capacity or 0
        self._lowered = -1  # when, by the tree's clock
        self.taken = 0

    def admits(self, job: Job) -> bool:
        """True where what the job adds fits beside what is taken."""
        return not self._most or self.taken + len(job.packed) // TOKEN - job.cached <= self.capacity

    def enter(self, job: Job) -> None:
        """Take the room of a job that is sent."""
        job.room = len(job.packed) // TOKEN - job.cached
        self.taken += job.room

    def rely(self, warm: Warm, dependents: Iterable[Job]) -> None:
        """A warm-up is over: keep its room for those who waited for it."""
        for job in dependents:
            self._let_go(job.relies)
            job.relies = warm
            warm.users += 1

    def leave(self, job: Job) -> None:
        """A job is over: give its room back, and that of warm-ups only it still relied on."""
        if isinstance(job, Warm) and job.users:
            return
        self.taken -= job.room
        job.room = 0
        warm, job.relies = job.relies, None
        self._let_go(warm)

    def _let_go(self, warm: Warm | None) -> None:
        if warm is not None:
            warm.users -= 1
            self.leave(warm)

    def kept(self) -> None:
        """A reply found what the tree promised."""
        if self.capacity < self._most:
            self.capacity = min(self._most, self.capacity + max(self._most // _STEPS, 1))

    def lost(self, sent: int) -> None:
        """A job sent at that time of the tree's clock found less than the tree promised.

        Jobs that were sent before the last step back show the same loss again, and are not counted twice.
        """
        if sent > self._lowered:
            self._lowered = self._tree.now
            self.capacity = max(self.capacity * 3 // 4, self._most // _LEAST)
