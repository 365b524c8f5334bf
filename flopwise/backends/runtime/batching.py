"""Which shared prefixes to compute first, and in which order requests leave: pure functions over packed prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .radix import TOKEN, common


@dataclass(frozen=True, slots=True)
class Shared:
    """A prefix that several ready prompts share and the engine has not seen.

    Attributes:
        tokens: Its length, in whole blocks.
        first: Position in the plan's order of the first prompt that has it.
        last: Position of the last one.
        outer: Index in the plan of the shorter shared prefix to compute before; None where there is none.
    """

    tokens: int
    first: int
    last: int
    outer: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to prefill and what each prompt waits for.

    Attributes:
        order: Indices of the prompts in tree order.
        shared: Prefixes to compute once, outer ones first.
        after: For each prompt, the index of the shared prefix it waits for; None where it may leave at once.
    """

    order: tuple[int, ...]
    shared: tuple[Shared, ...]
    after: tuple[int | None, ...]


def plan(prompts: Sequence[bytes], resident: Sequence[int], block: int = 1, least: int = 1) -> Plan:
    """Choose the shared prefixes worth computing before the prompts that have them fan out.

    Args:
        prompts: Packed prompts; of each a cache can serve whole blocks, and never the last token.
        resident: Tokens of each that the engine holds or will hold without our doing, in whole blocks.
        block: Tokens of a block.
        least: Tokens that a prefix must save to be worth the wait: (prompts - 1) * tokens not yet held.
    """
    order = sorted(range(len(prompts)), key=prompts.__getitem__)
    shared: list[Shared] = []
    after: list[int | None] = [None] * len(prompts)
    around: list[int] = []  # chosen prefixes that cover the position, outer ones first
    nodes = _branchings([prompts[i] for i in order], block)
    upcoming = next(nodes, None)
    for position, index in enumerate(order):
        while around and shared[around[-1]].last < position:
            around.pop()
        while upcoming is not None and upcoming[1] == position:
            tokens, first, last = upcoming
            outer = around[-1] if around else None
            held = max(resident[index], shared[outer].tokens if outer is not None else 0)
            if (last - first) * (tokens - held) >= least:
                around.append(len(shared))
                shared.append(Shared(tokens, first, last, outer))
            upcoming = next(nodes, None)
        after[index] = around[-1] if around else None
    return Plan(tuple(order), tuple(shared), tuple(after))


def _branchings(prompts: Sequence[bytes], block: int) -> Iterator[tuple[int, int, int]]:
    """(tokens, first, last) of each prefix at which sorted prompts part, outer ones before those inside them."""
    found: list[tuple[int, int, int]] = []
    open_: list[tuple[int, int]] = []  # (tokens, first), deeper upwards
    for position in range(1, len(prompts) + 1):
        tokens = servable(prompts[position], prompts[position - 1], block) if position < len(prompts) else 0
        first = position - 1
        while open_ and open_[-1][0] > tokens:
            deeper, first = open_.pop()
            found.append((deeper, first, position - 1))
        if tokens and (not open_ or open_[-1][0] < tokens):
            open_.append((tokens, first))
    return iter(sorted(found, key=lambda node: (node[1], node[0])))


def servable(one: bytes, other: bytes, block: int) -> int:
    """Tokens of a prefix of both packed prompts that a cache can serve to both."""
    whole = max(min(len(one), len(other)) - TOKEN, 0)
    return min(common(one, other), whole) // (TOKEN * block) * block
