"""Large response matrices from a stated generative model.

An example has a difficulty, N(0, 1.5). A stream is a technique with a prompt: its ability is the technique's, N(0.4,
0.7), and the prompt's, N(0, 0.35); techniques differ in which examples suit them by a product of two factors of size
0.8 (item response theory in low rank: Rasch 1960; Lord 1980). A draw is right with the logistic probability of
ability + suit - difficulty; a wrong draw gives one of three wrong answers, the likeliest of which it gives in 6 of 10
cases, so that votes can be wrong for sure. Votes count the first n draws, ties going to the earlier. A technique's draw
costs a log-normal of its own (factor e^0.6 between techniques, e^0.3 between draws), its prompt as much as one draw.
"""

from __future__ import annotations

import numpy as np

from ._matrix import Floats, Matrix

_WRONG = (0.6, 0.3, 0.1)  # how wrong draws spread over the wrong answers
_DRAW = 5e11  # FLOPs of a typical draw


def generate(seed: int, techniques: int = 5, prompts: int = 5, most: int = 20, total: int = 1000) -> Matrix:
    """A matrix of techniques x prompts x most configs on `total` examples."""
    rng = np.random.default_rng([20, seed])
    difficulty = rng.normal(0, 1.5, total)
    ability = rng.normal(0.4, 0.7, techniques)[:, None] + rng.normal(0, 0.35, (techniques, prompts))
    suits = 0.8 * np.einsum("tf,fe->te", rng.normal(0, 1, (techniques, 2)), rng.normal(0, 1, (2, total))) / np.sqrt(2)
    logits = ability[:, :, None] + suits[:, None, :] - difficulty
    right = 1 / (1 + np.exp(-logits.reshape(techniques * prompts, total)))
    answers = _answers(rng, right, most)
    price = _DRAW * np.exp(rng.normal(0, 0.6, techniques)).repeat(prompts)
    flops = price[:, None, None] * np.exp(rng.normal(0, 0.3, (techniques * prompts, most, total)))
    flops[:, 0] += price[:, None]
    streams = tuple({"technique": f"t{t}", "prompt": f"p{p}"} for t in range(techniques) for p in range(prompts))
    arms = tuple((stream, n) for stream in range(len(streams)) for n in range(1, most + 1))
    scores = np.stack([_voted(answers[:, :n]) for n in range(1, most + 1)], axis=1).reshape(len(arms), total)
    about = {"model": "as benchmarks/racing/_generate.py states", "seed": seed}
    return Matrix(f"generated-{seed}", streams, arms, scores, tuple(flops), about)


def _answers(rng: np.random.Generator, right: Floats, most: int) -> Floats:
    """What each draw answers: 0 is right; streams x draws x examples."""
    shape = (right.shape[0], most, right.shape[1])
    wrong = 1 + rng.choice(len(_WRONG), size=shape, p=_WRONG)
    answers: Floats = np.where(rng.random(shape) < right[:, None, :], 0, wrong)
    return answers


def _voted(answers: Floats) -> Floats:
    """1 where the most frequent answer is right; of equally frequent ones the one that came first counts."""
    n = answers.shape[1]
    # An answer's votes, and as a fraction of one how early it came.
    ranks = []
    for answer in range(len(_WRONG) + 1):
        given = answers == answer
        ranks.append(given.sum(axis=1) + np.where(given.any(axis=1), 1 - given.argmax(axis=1) / n, 0) * 0.5)
    voted: Floats = (np.argmax(np.stack(ranks), axis=0) == 0).astype(float)
    return voted
