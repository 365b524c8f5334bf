"""adaptive_vote: a vote that draws until it is settled.

Adaptive-Consistency (Aggarwal et al., 2023, arXiv:2305.11860) and Early-Stopping Self-Consistency (Li et al., 2024,
arXiv:2401.10480), with the settings of their papers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from ...errors import SignatureError
from ..base import Module, S, check_module
from ..sampling import sample
from ..symbols import Symbol, tracer
from .reducers import vote

STOPS = ("beta", "window")


@dataclass(frozen=True)
class AdaptiveVote(Module[S]):
    r"""What `adaptive_vote(...)` makes: a module is drawn in waves, and no more once the vote over them is settled.

    Expands to::

        graph AdaptiveVote(question):
          %AdaptiveVote.draft.sample: list[Answer] = loop(%question) repeat at most 40 trips (1 required) in waves of 1 until beta 0.95 with outer.question
            graph AdaptiveVote.draft.sample(outer.question):
              %AdaptiveVote.draft.reason: text = generate() n=1 T=0.7 max=512 stop=['\n\nAnswer:'] from %outer.question
              %AdaptiveVote.draft.answer: text = generate() n=1 T=0 max=32 from %AdaptiveVote.draft.reason
              %AdaptiveVote.draft.record: Answer = parse(%AdaptiveVote.draft.answer, %outer.question, %AdaptiveVote.draft.reason.text) scalar -> question, reasoning, answer
              return %AdaptiveVote.draft.record
          %AdaptiveVote.vote: Answer = reduce(%AdaptiveVote.draft.sample) majority by answer
          return %AdaptiveVote.vote
    """  # noqa: E501

    draft: Any = field(default=None, kw_only=True)
    n: Any = field(default=40, kw_only=True)
    stop: str = field(default="beta", kw_only=True)
    sure: float = field(default=0.95, kw_only=True)
    window: Any = field(default=5, kw_only=True)
    by: str = field(default="", kw_only=True)
    warmth: Any = field(default=0.7, kw_only=True)

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Trace the module in a region that draws in waves, and the vote over it."""
        tracer("adaptive_vote")
        named = self.named(self.name or "adaptive_vote")
        wave = named.window if named.stop == "window" else 1
        drawn = sample(named.draft, named.n, temperature=named.warmth, wave=wave, stop=named.stop, sure=named.sure)
        voted: Any = vote(drawn(*records, **inputs), field=named.by, name=f"{named.name}.vote")
        return cast(Symbol, voted)


def adaptive_vote(
    module: Module[S],
    n: int = 40,
    *,
    stop: str = "beta",
    sure: float = 0.95,
    window: int = 5,
    field: str = "",
    temperature: float = 0.7,
    name: str = "",
) -> Module[S]:
    """A vote over as many draws of a module as it takes, at most n.

    It is `fw.vote(fw.sample(module, n, wave=..., stop=...)(...))` as one module, with the papers' settings: easy
    questions take a few draws, hard ones up to n. With "beta" one draft is drawn at a time until the likeliest answer
    is ahead of the second with probability `sure` (Adaptive-Consistency: four alike are enough). With "window" they
    come `window` at a time until all of one window agree (Early-Stopping Self-Consistency). Both stop too where the
    drafts left could not change the vote. A query waits longer for its draws than with all at once; a batch does not.

    Args:
        module: What is drawn from.
        n: Most drafts, or an `fw.integer(...)` choice.
        stop: "beta" or "window".
        sure: The probability that "beta" asks for.
        window: Drafts at a time for "window", 2 or more, or an `fw.integer(...)` choice.
        field: The output voted on; the only one where it is not given.
        temperature: What to draw with where the module sets none.
        name: Name in a function program.

    Cost: k times the module's calls, where k is 1 to n; k x M, where M is the module's. Its static bound is n x M;
    what is not drawn is not spent.

    Raises:
        TraceError: module is none, or a number is outside its range.
        SignatureError: stop is another word.
    """
    check_module("adaptive_vote", module)
    if stop not in STOPS:
        raise SignatureError(f"adaptive_vote: stop must be one of {list(STOPS)}, but got {stop!r}")
    sample(module, n, wave=window if stop == "window" else 1, stop=stop, sure=sure)  # says what is out of range
    return AdaptiveVote(
        module.of, draft=module, n=n, stop=stop, sure=sure, window=window, by=field, warmth=temperature,
        name=name, demos=(),
    )  # fmt: skip
