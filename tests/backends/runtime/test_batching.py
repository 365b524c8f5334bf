import random

from hypothesis import given
from hypothesis import strategies as st

from flopwise.backends.runtime.batching import Plan, plan, servable
from flopwise.backends.runtime.radix import RadixTree
from flopwise.ir.request import pack

prompt = st.lists(st.integers(0, 2), min_size=1, max_size=9).map(tuple)
prompts = st.lists(prompt, max_size=14)
blocks = st.sampled_from([1, 2, 3])


def computed(asked: list[tuple[int, ...]], held: list[tuple[int, ...]], block: int, least: int) -> tuple[int, Plan]:
    """Tokens an engine computes under the plan, and the plan; all requests of a stage arrive before any ends."""
    tree = RadixTree(block)
    for ids in held:
        tree.insert(ids)
    chosen = plan([pack(ids) for ids in asked], [tree.match(ids) for ids in asked], block, least)
    tokens = 0
    for shared in chosen.shared:
        prefix = asked[chosen.order[shared.first]][: shared.tokens]
        tokens += len(prefix) - tree.resident(prefix)
        if shared.outer is not None:
            outer = chosen.shared[shared.outer]
            assert tree.resident(prefix) >= outer.tokens, "outer ones are computed before"
        tree.insert(prefix)
    tokens += sum(len(ids) - tree.match(ids) for ids in asked)
    return tokens, chosen


def optimum(asked: list[tuple[int, ...]], held: list[tuple[int, ...]], block: int) -> int:
    """By brute force: every usable block prefix computed once, and what no cache can serve by each prompt."""
    bodies = [ids[: (len(ids) - 1) // block * block] for ids in asked]
    blocks_of = lambda ids: {ids[:n] for n in range(block, len(ids) + 1, block)}  # noqa: E731
    needed = set().union(*map(blocks_of, bodies)) - set().union(*map(blocks_of, held))
    return len(needed) * block + sum(len(a) - len(b) for a, b in zip(asked, bodies, strict=True))


@given(prompts, prompts, blocks)
def test_computes_each_shared_block_once(asked, held, block):
    tokens, _ = computed(asked, held, block, least=1)
    assert tokens == optimum(asked, held, block)


@given(prompts, blocks, st.integers(1, 12))
def test_a_higher_threshold_warms_less_and_loses_less_than_it_a_prompt(asked, block, least):
    tokens, chosen = computed(asked, [], block, least)
    best, every = computed(asked, [], block, 1)
    assert len(chosen.shared) <= len(every.shared)
    assert best <= tokens <= best + least * len(asked)


@given(prompts, prompts, blocks, st.integers(1, 12))
def test_warms_only_what_saves_enough(asked, held, block, least):
    tree = RadixTree(block)
    for ids in held:
        tree.insert(ids)
    _, chosen = computed(asked, held, block, least)
    for shared in chosen.shared:
        members = chosen.order[shared.first : shared.last + 1]
        prefixes = {asked[i][: shared.tokens] for i in members}
        assert len(prefixes) == 1, "all members have the prefix"
        outer = chosen.shared[shared.outer].tokens if shared.outer is not None else 0
        base = max(outer, tree.resident(prefixes.pop()))
        assert (len(members) - 1) * (shared.tokens - base) >= least


@given(prompts)
def test_order_is_a_walk_of_the_tree(asked):
    chosen = plan([pack(ids) for ids in asked], [0] * len(asked))
    assert sorted(chosen.order) == list(range(len(asked)))
    walked = [asked[i] for i in chosen.order]
    for depth in range(1, 10):
        heads = [ids[:depth] for ids in walked if len(ids) >= depth]
        runs = [h for i, h in enumerate(heads) if i == 0 or heads[i - 1] != h]
        assert len(runs) == len(set(runs)), "a subtree is left only when it is done"


def test_nested_prefixes_wait_for_their_outer_one():
    a, b, c = (1,) * 100, (2,) * 100, (3,) * 100
    asked = [a + b + (9,), a + b + (8,), a + c + (9,), a + c + (8,), (7,)]
    chosen = plan([pack(ids) for ids in asked], [0] * 5, least=64)
    assert [(s.tokens, s.outer) for s in chosen.shared] == [(100, None), (200, 0), (200, 0)]
    assert [chosen.shared[w].tokens if w is not None else 0 for w in chosen.after] == [200, 200, 200, 200, 0]


def test_plans_many_requests_in_seconds():
    rng = random.Random(5)
    base = tuple(rng.randrange(50_000) for _ in range(900))
    asked = [pack((*base, *(rng.randrange(50_000) for _ in range(20)))) for _ in range(20_000)]
    chosen = plan(asked, [0] * len(asked), least=64)
    assert chosen.shared[0].tokens == 900
    assert set(chosen.after) >= {0}


def test_a_cache_serves_whole_blocks_and_never_the_last_token():
    ids = pack(tuple(range(64)))
    assert [servable(ids, ids, block) for block in (1, 32)] == [63, 32]
    assert [servable(ids, ids[: 4 * n], 32) for n in (0, 32, 33)] == [0, 0, 32]
