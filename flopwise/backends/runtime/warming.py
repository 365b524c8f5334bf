"""Which jobs wait for which warm-up: the plan of one tick joined to the warm-ups still under way."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from .batching import Plan, plan
from .jobs import Job, Warm
from .radix import TOKEN, RadixTree, common, usable


class Warming:
    """Warm-ups from their planning until their end.

    Args:
        tree: What the engine holds.
        least: Tokens a warm-up must save to be worth the wait.
    """

    def __init__(self, tree: RadixTree, least: int) -> None:
        self._tree = tree
        self._least = least
        self._prefixes: list[bytes] = []  # sorted, packed
        self._warms: dict[bytes, Warm] = {}  # by prefix

    def link(self, jobs: Sequence[Job]) -> list[Job]:
        """Set what each job waits for; return the jobs and the warm-ups they need, those first."""
        if len(jobs) == 1 and not self._prefixes:
            return list(jobs)
        keys = [usable(job.packed, self._tree.block) for job in jobs]
        nearest = [self._nearest(key) for key in keys]
        chosen = plan(keys, [tokens for tokens, _ in nearest], self._tree.block, self._least)
        warms, new = self._plan_warms(jobs, keys, chosen, [warm for _, warm in nearest])
        for job, (_, under_way), inner in zip(jobs, nearest, chosen.after, strict=True):
            _wait(job, under_way if inner is None else warms[inner])
        return [*new, *jobs]

    def _plan_warms(
        self, jobs: Sequence[Job], keys: Sequence[bytes], chosen: Plan, under_way: Sequence[Warm | None]
    ) -> tuple[list[Warm], list[Warm]]:
        """The warm-up of each shared prefix, and those of them that are not under way yet."""
        warms: list[Warm] = []
        new: list[Warm] = []
        for shared in chosen.shared:
            members = chosen.order[shared.first : shared.last + 1]
            first = members[0]
            prefix = keys[first][: shared.tokens * TOKEN]
            warm = self._warms.get(prefix)
            if warm is None:
                request = jobs[first].request
                assert request is not None, "what has draws has a request"
                warm = Warm(prefix, ids=request.ids[: shared.tokens], payer=_one_prompt(jobs, keys, members))
                _wait(warm, under_way[first] if shared.outer is None else warms[shared.outer])
                self._add(warm, prefix)
                new.append(warm)
            warms.append(warm)
        return warms, new

    def join(self, warm: Warm) -> bool:
        """Add a warm-up asked for by name behind those under way; False where the engine holds its prefix."""
        unit = TOKEN * self._tree.block
        prefix = warm.packed[: len(warm.packed) // unit * unit]
        if self._tree.resident(prefix) * TOKEN == len(prefix):
            return False
        _wait(warm, self._nearest(prefix)[1])
        if prefix not in self._warms:
            self._add(warm, prefix)
        return True

    def _add(self, warm: Warm, prefix: bytes) -> None:
        """Let later jobs wait for a warm-up."""
        insort(self._prefixes, prefix)
        self._warms[prefix] = warm

    def done(self, warm: Warm) -> list[Job]:
        """Forget a warm-up that is over, however it ended; return the jobs that waited for it."""
        unit = TOKEN * self._tree.block
        prefix = warm.packed[: len(warm.packed) // unit * unit]
        if self._warms.get(prefix) is warm:
            del self._warms[prefix]
            del self._prefixes[bisect_left(self._prefixes, prefix)]
        freed, warm.dependents = warm.dependents, []
        for job in freed:
            job.after = None
        return freed

    def _nearest(self, key: bytes) -> tuple[int, Warm | None]:
        """Tokens of a key that will be held once the warm-up it should wait for is done; None to wait for none."""
        held = self._tree.resident(key)
        best, warm = held, None
        at = bisect_left(self._prefixes, key)
        # The longest common prefix with any of a sorted list is with a neighbour.
        for prefix in self._prefixes[max(at - 1, 0) : at + 1]:
            tokens = common(key, prefix) // (TOKEN * self._tree.block) * self._tree.block
            if tokens > best:
                best, warm = tokens, self._warms[prefix]
        if best - held < self._least:
            return held, None
        while warm is not None and warm.after is not None and len(warm.after.packed) >= best * TOKEN:
            warm = warm.after  # an outer one covers as much and is sooner done
        return best, warm


def _wait(job: Job, warm: Warm | None) -> None:
    job.after = warm
    if warm is not None:
        warm.dependents.append(job)


def _one_prompt(jobs: Sequence[Job], keys: Sequence[bytes], members: Sequence[int]) -> Job | None:
    """The first of the members where all of them have one prompt, else None."""
    first, last = members[0], members[-1]
    # They are sorted, so equal ends mean that all keys are equal; few groups get as far as the prompts.
    same = keys[first] == keys[last] and all(jobs[i].packed == jobs[first].packed for i in members)
    return jobs[first] if same else None
