"""Which jobs wait for which warm-up: the plan of one tick joined to the warm-ups still under way."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from .batching import Plan, plan, servable
from .jobs import Job, Warm
from .radix import TOKEN, RadixTree, common

MOST_WAITS = 2  # times a job is held back at the last moment; beyond, prefixes are evicted faster than they are used


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
        self._cold: list[bytes] = []  # sorted prompts under way that had much to compute

    def link(self, jobs: Sequence[Job]) -> list[Job]:
        """Set what each job waits for; return the jobs and the warm-ups they need, those first."""
        if self._tree.capacity == 0 or (len(jobs) == 1 and not self._prefixes):  # nothing would be kept
            return list(jobs)
        nearest = [self._nearest(job, self._tree.match(job.packed)) for job in jobs]
        prompts = [job.packed for job in jobs]
        chosen = plan(prompts, [tokens for tokens, _ in nearest], self._tree.block, self._least)
        warms, new = self._plan_warms(jobs, chosen, [warm for _, warm in nearest])
        for job, (_, under_way), inner in zip(jobs, nearest, chosen.after, strict=True):
            _wait(job, under_way if inner is None else warms[inner])
        return [*new, *jobs]

    def _plan_warms(
        self, jobs: Sequence[Job], chosen: Plan, under_way: Sequence[Warm | None]
    ) -> tuple[list[Warm], list[Warm]]:
        """The warm-up of each shared prefix, and those of them that are not under way yet."""
        warms: list[Warm] = []
        new: list[Warm] = []
        for shared in chosen.shared:
            first, last = chosen.order[shared.first], chosen.order[shared.last]
            warm = self._warms.get(jobs[first].packed[: shared.tokens * TOKEN])
            if warm is None:
                # Where the first and the last one have one prompt, so have those between them.
                warm = _warm_up(jobs[first], shared.tokens, jobs[first].packed == jobs[last].packed)
                _wait(warm, under_way[first] if shared.outer is None else warms[shared.outer])
                self._warms[warm.packed] = warm
                new.append(warm)
            warms.append(warm)
        self._prefixes += [warm.packed for warm in new]
        self._prefixes.sort()
        return warms, new

    def late(self, job: Job, following: Job | None) -> tuple[Warm | None, bool]:
        """What a job about to leave should wait for after all; True with it where that is a new warm-up.

        Who arrived in another tick was not planned with it, and what was to be held may have been evicted since.

        Args:
            job: The job; its `cached` is what the tree holds of it now.
            following: The next one in tree order.
        """
        few = len(job.packed) // TOKEN - job.cached <= self._least
        if self._tree.capacity == 0 or few or job.waits >= MOST_WAITS:
            return None, False
        warm, new = self._nearest(job, job.cached)[1], False
        if warm is not None and warm.age > job.age:
            return None, False  # it would be overtaken by what came long after it
        if warm is None and not isinstance(job, Warm):  # for what else needs a warm-up's prefix it is that itself
            warm, new = self._with_others(job, following), True
        if warm is not None:
            job.waits += 1
            _wait(job, warm)
        return warm, new

    def _with_others(self, job: Job, following: Job | None) -> Warm | None:
        """A new warm-up of what a job has in common with the next one or with one that is being computed."""
        at = bisect_left(self._cold, job.packed)
        others = self._cold[max(at - 1, 0) : at + 1]  # the neighbours have most in common with it
        if following is not None:
            others.append(following.packed)
        tokens, alike = 0, False
        enough = self._enough(job.packed, job.cached)
        for other in others:
            if other.startswith(enough):
                tokens = max(tokens, servable(job.packed, other, self._tree.block))
                alike |= other == job.packed
        if tokens - job.cached < self._least:
            return None
        warm = _warm_up(job, tokens, alike)
        warm.age = job.age
        self._add(warm, warm.packed)
        return warm

    def sent(self, job: Job) -> None:
        """Note a job that leaves with much to compute: until it is over, the tree does not show it."""
        if len(job.packed) // TOKEN - job.cached > self._least and not (job.cold or isinstance(job, Warm)):
            insort(self._cold, job.packed)
            job.cold = True

    def over(self, job: Job) -> None:
        """Forget a job noted by `sent`."""
        job.cold = False
        at = bisect_left(self._cold, job.packed)
        if self._cold[at : at + 1] == [job.packed]:  # not of an event loop that has ended since
            del self._cold[at]

    def join(self, warm: Warm) -> bool:
        """Add a warm-up asked for by name behind those under way; False where the engine holds its prefix."""
        prefix = self._whole(warm)
        held = self._tree.resident(prefix)
        if held * TOKEN == len(prefix):
            return False
        _wait(warm, self._nearest(warm, held)[1])
        if prefix not in self._warms:
            self._add(warm, prefix)
        return True

    def _add(self, warm: Warm, prefix: bytes) -> None:
        """Let later jobs wait for a warm-up."""
        insort(self._prefixes, prefix)
        self._warms[prefix] = warm

    def done(self, warm: Warm) -> list[Job]:
        """Forget a warm-up that is over, however it ended; return the jobs that waited for it."""
        prefix = self._whole(warm)
        if self._warms.get(prefix) is warm:
            del self._warms[prefix]
            del self._prefixes[bisect_left(self._prefixes, prefix)]
        freed, warm.dependents = warm.dependents, []
        for job in freed:
            job.after = None
        return freed

    def _whole(self, warm: Warm) -> bytes:
        unit = TOKEN * self._tree.block
        return warm.packed[: len(warm.packed) // unit * unit]

    def _enough(self, key: bytes, held: int) -> bytes:
        """What another one must begin with to be worth a wait: quickly seen, and most often it does not."""
        return key[: (held + self._least) * TOKEN]

    def _nearest(self, job: Job, held: int) -> tuple[int, Warm | None]:
        """Tokens of a prompt that will be held once the warm-up it should wait for is done; None to wait for none."""
        key, unit = job.packed, TOKEN * self._tree.block
        most = len(key) if isinstance(job, Warm) else max(len(key) - TOKEN, 0)  # a prompt's last token is never served
        best, warm, enough = held, None, self._enough(key, held)
        at = bisect_left(self._prefixes, key)
        # The longest common prefix with any of a sorted list is with a neighbour; one of them may be the job itself.
        for prefix in self._prefixes[max(at - 1, 0) : at + 2]:
            if not prefix.startswith(enough):
                continue
            tokens = min(common(key, prefix), most) // unit * self._tree.block
            if tokens > best and self._warms[prefix] is not job:
                best, warm = tokens, self._warms[prefix]
        if best - held < self._least:
            return held, None
        while warm is not None and warm.after is not None and len(warm.after.packed) >= best * TOKEN:
            warm = warm.after  # an outer one covers as much and is sooner done
        return (held, None) if _waits_for(warm, job) else (best, warm)


def _waits_for(warm: Job | None, job: Job) -> bool:
    while warm is not None and warm is not job:
        warm = warm.after
    return warm is job


def _wait(job: Job, warm: Warm | None) -> None:
    job.after = warm
    if warm is not None:
        warm.dependents.append(job)


def _warm_up(job: Job, tokens: int, alone: bool) -> Warm:
    """A warm-up of a job's first tokens; at its own cost where it is alone in having them."""
    assert job.request is not None, "what has draws has a request"
    return Warm(job.packed[: tokens * TOKEN], ids=job.request.ids[:tokens], payer=job if alone else None)
