import random
import time

from hypothesis import given
from hypothesis import strategies as st

from flopwise.backends.runtime.radix import RadixTree, common
from flopwise.ir.request import pack

prompts = st.lists(st.integers(0, 2), min_size=1, max_size=12).map(tuple)
blocks = st.sampled_from([1, 2, 3])


def shared(a: tuple[int, ...], b: tuple[int, ...], block: int) -> int:
    n = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return n // block * block


@given(st.lists(prompts, max_size=12), prompts, blocks)
def test_matches_the_longest_prefix_in_whole_blocks_and_never_all(held, asked, block):
    tree = RadixTree(block)
    for ids in held:
        tree.insert(ids)
        tree.check_integrity()
    longest = max((shared(asked, ids, block) for ids in held), default=0)
    assert tree.resident(asked) == longest
    assert tree.match(asked) == min(longest, (len(asked) - 1) // block * block)


@given(st.lists(prompts, max_size=12), blocks)
def test_counts_distinct_tokens(held, block):
    tree = RadixTree(block)
    news = [tree.insert(ids) for ids in held]
    prefixes = {ids[:n] for ids in held for n in range(block, len(ids) + 1, block)}
    assert tree.size == tree.distinct == sum(news) == len(prefixes) * block


@given(st.lists(prompts, max_size=20), blocks, st.integers(0, 15))
def test_never_holds_more_than_its_capacity_and_only_what_was_inserted(held, block, capacity):
    tree, whole = RadixTree(block, capacity), RadixTree(block)
    for ids in held:
        tree.insert(ids)
        whole.insert(ids)
        tree.check_integrity()
        assert tree.resident(ids) >= min(len(ids) // block * block, capacity // block * block)
    assert all(tree.resident(ids) <= whole.resident(ids) for ids in held)


def test_evicts_the_least_recently_used_leaf_first():
    tree = RadixTree(capacity=6)
    tree.insert((1, 2, 3))
    tree.insert((7, 8, 9))
    tree.insert((1, 2, 3))
    tree.insert((5, 6))
    assert tree.resident((1, 2, 3)) == 3
    assert tree.resident((5, 6)) == 2
    assert tree.resident((7, 8, 9)) == 1, "cut from its end, no more than needed"


def test_matching_alone_does_not_keep_a_prefix_alive():
    tree = RadixTree(capacity=4)
    tree.insert((1, 2))
    tree.insert((3, 4))
    tree.match((1, 2, 9))
    tree.insert((5, 6))
    assert (tree.resident((1, 2)), tree.resident((3, 4))) == (0, 2)


def test_a_deep_tree_needs_no_recursion():
    tree = RadixTree(capacity=1200)
    ids = tuple(range(1500))
    for n in range(1, 1501):
        tree.insert(ids[:n])
    tree.check_integrity()
    assert tree.resident(ids) == 1200


@given(prompts, prompts, st.integers(0, 3))
def test_common_counts_equal_tokens(a, b, skip):
    skip = min(skip, len(a))
    assert common(pack(a), pack(b), 4 * skip) // 4 == shared(a[skip:], b, 1)


def test_is_quick_among_many_prompts():
    rng = random.Random(3)
    draw = lambda n: tuple(rng.randrange(50_000) for _ in range(n))  # noqa: E731
    preambles = [draw(1100) for _ in range(20)]
    tree = RadixTree(capacity=1_000_000)
    for _ in range(10_000):
        tree.insert(rng.choice(preambles) + draw(200))
    asked = [rng.choice(preambles) + draw(200) for _ in range(200)]
    took = []
    for ids in asked:
        start = time.process_time()
        tree.match(ids)
        tree.insert(ids)
        took.append(time.process_time() - start)
    assert sorted(took)[len(took) // 2] < 150e-6, "30 us on an idle machine"


@given(st.binary(max_size=9), st.binary(max_size=900), st.binary(max_size=9), st.binary(max_size=9))
def test_common_counts_the_bytes_two_keys_begin_with(before, shared, one, other):
    a, b = shared + one, shared + other
    expected = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    assert common(before + a, b, len(before)) == expected


@given(st.lists(st.tuples(prompts, st.booleans()), max_size=20), st.sampled_from([1, 2]), st.sampled_from([None, 12]))
def test_a_lookup_before_an_insert_changes_nothing(steps, block, capacity):
    looked_up, plain = RadixTree(block, capacity), RadixTree(block, capacity)
    for ids, longer in steps:
        looked_up.match(ids)
        held = (*ids, 7, 8, 9) if longer else ids  # a prompt, and what was generated after it
        assert looked_up.insert(held) == plain.insert(held)
        looked_up.check_integrity()
        assert (looked_up.size, looked_up.distinct) == (plain.size, plain.distinct)
    assert [looked_up.resident(ids) for ids, _ in steps] == [plain.resident(ids) for ids, _ in steps]


@given(st.lists(prompts, max_size=12), prompts, st.integers(0, 12), blocks, st.sampled_from([None, 14]))
def test_forgets_what_goes_on_along_a_path_and_nothing_else(held, gone, keep, block, capacity):
    tree = RadixTree(block, capacity)
    for ids in held:
        tree.insert(ids)
    before, size = [tree.resident(ids) for ids in held], tree.size
    dropped = tree.forget(gone, keep)
    tree.check_integrity()
    assert tree.size == size - dropped
    whole = keep // block * block
    for ids, tokens in zip(held, before, strict=True):
        beyond = shared(ids, gone, block) > whole
        assert tree.resident(ids) == (min(tokens, whole) if beyond else tokens)
    for ids in held:  # and goes on as if it had never been there
        tree.insert(ids)
        tree.check_integrity()


def test_forgets_nothing_that_was_inserted_later():
    tree = RadixTree(capacity=100)
    tree.insert((1, 2, 3, 4))
    tree.insert((1, 2, 5, 6))
    sent = tree.now
    tree.insert((1, 2, 3, 4, 7))
    assert tree.forget((1, 2, 5, 6), 1, sent) == 2
    tree.check_integrity()
    assert tree.resident((1, 2, 3, 4, 7)) == 5
    assert tree.resident((1, 2, 5, 6)) == 2
    assert tree.forget((1, 2, 9), 1) == 4
    assert (tree.size, tree.resident((1, 2))) == (1, 1)


def test_what_is_forgotten_again_and_again_leaves_nothing_behind():
    tree = RadixTree(capacity=1000)
    for i in range(500):
        tree.insert((1, *range(i, i + 9)))
        tree.forget((1,), 0)
    tree.check_integrity()
    assert (tree.size, len(tree._leaves)) == (0, 0)
