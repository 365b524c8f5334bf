import random

import pytest

from benchmarks._recording import Recording, read, shape
from flopwise.backends.runtime.radix import RadixTree


def tree_tokens(prompts):
    tree = RadixTree()
    return sum(tree.insert(ids) for ids in prompts)


def random_prompts(seed, count=60):
    draw = random.Random(seed)
    prompts = [(1, 2, 3)]
    for _ in range(count):
        stem = draw.choice(prompts)
        tail = tuple(draw.choices(range(4), k=draw.randint(0, 5)))
        prompts.append(stem[: draw.randint(1, len(stem))] + tail)
    return prompts


@pytest.mark.parametrize("seed", range(20))
def test_made_up_prompts_share_what_the_real_ones_share(seed):
    prompts = random_prompts(seed)
    nodes, ends = shape(prompts)
    made = Recording(nodes, [(0, i, 0, end, 1) for i, end in enumerate(ends)]).prompts(range(100, 200))
    assert [len(ids) for ids in made] == [len(ids) for ids in prompts]
    assert tree_tokens(made) == tree_tokens(prompts) == sum(tokens for _, tokens in nodes)
    for i in range(len(prompts)):
        for j in range(i):
            assert common(made[i], made[j]) == common(prompts[i], prompts[j])


def common(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def test_what_is_written_is_read(tmp_path):
    recording = Recording([(-1, 3), (0, 2)], [(1, 1, 0, 1, 5)], {"task": "x"})
    recording.save(tmp_path / "r.json")
    assert read(tmp_path / "r.json") == recording
    assert recording.distinct == 5
