"""The Transformers engine: what every engine must do, and that batches and held prefixes change no answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flopwise.backends.engines.registry import engine as make
from flopwise.backends.engines.sglang.launch import Server
from flopwise.backends.engines.testing import EngineConformance, ask, prompt
from flopwise.backends.engines.transformers_engine import TransformersEngine, TransformersSettings
from flopwise.errors import EngineError
from flopwise.ir.request import Decoding, GenerateRequest, Grammar, Reply, ScoreRequest, TokenIds
from tests.backends.engines.small_folder import write_folder
from tests.sglang.conftest import MODEL

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
WIDE = {"intermediate_size": 64, "vocab_size": 304, "max_position_embeddings": 512, "initializer_range": 0.4}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "gemma3_text": {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "mistral": {"sliding_window": 8},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512},
}
LENGTHS = (5, 40, 41, 90, 17, 38, 3)


class TestConformance(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, server: Server) -> Iterator[TransformersEngine]:
        engine = make(f"transformers:{server.model}", device="cpu")
        assert isinstance(engine, TransformersEngine)
        yield engine
        engine.close()


def family(path: Path, kind: str) -> Path:
    """A folder of a model of random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SMALL, **WIDE, **FAMILIES[kind], "eos_token_id": 302, "pad_token_id": 0})
    AutoModelForCausalLM.from_config(config).eval().save_pretrained(path)
    said = (path / "config.json").read_text()
    write_folder(path)
    (path / "config.json").write_text(said)  # its own, not the folder writer's
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "model_max_length": 512}
    (path / "tokenizer_config.json").write_text(json.dumps(told))
    return path


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return family(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return family(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture
def small(llama: Path) -> Iterator[Any]:
    made: list[TransformersEngine] = []

    def maker(**settings: Any) -> TransformersEngine:
        made.append(TransformersEngine(llama, TransformersSettings(device="cpu", **settings)))
        return made[-1]

    yield maker
    for engine in made:
        engine.close()


def ids_of(seed: int, length: int) -> TokenIds:
    return tuple((seed * 31 + i * i * 7) % 290 + 1 for i in range(length))


def all_at_once(*work: Any) -> list[Any]:
    async def together() -> list[Any]:
        return await asyncio.wait_for(asyncio.gather(*work), 300)

    return asyncio.run(together())


def greedy(engine: TransformersEngine, prompts: list[TokenIds], tokens: int = 12) -> list[Reply]:
    asked = [GenerateRequest(p, Decoding(max_tokens=tokens)) for p in prompts]
    return all_at_once(*map(engine.generate, asked))


def alone(folder: Path, prompts: list[TokenIds], tokens: int = 12) -> list[TokenIds]:
    """What Transformers' own `generate` says to each prompt by itself."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    found = []
    for ids in prompts:
        told = model.generate(torch.tensor([ids]), max_new_tokens=tokens, do_sample=False, eos_token_id=[-1])
        found.append(tuple(told[0, len(ids) :].tolist()))
    return found


def test_batched_and_cached_it_says_what_each_prompt_alone_gets(folder: Path) -> None:
    prompts = [ids_of(i, length) for i, length in enumerate(LENGTHS)]
    prompts.append(prompts[3][:60] + ids_of(9, 20))  # begins like another
    expected = alone(folder, prompts)
    engine = TransformersEngine(folder, TransformersSettings(device="cpu"))
    engine._worker._ends = frozenset()  # random weights end nowhere in particular
    try:
        cold, warm = greedy(engine, prompts), greedy(engine, prompts)
    finally:
        engine.close()
    for replies in (cold, warm):
        assert [r.samples[0].ids for r in replies] == expected
    assert [r.usage.cached for r in warm] == [len(p) - 1 for p in prompts]
    assert sum(r.usage.cached or 0 for r in cold) in range(60, 80)  # of the one that begins like another


def test_a_pool_too_small_for_what_is_asked_forgets_but_does_not_err(small: Any, llama: Path) -> None:
    prompts = [ids_of(i, 30 + i) for i in range(12)]
    engine = small(cache_tokens=64, in_flight=3, prefill_tokens=64)
    for _ in range(2):
        assert [r.samples[0].ids for r in greedy(engine, prompts, 6)] == [t[:6] for t in alone(llama, prompts, 6)]


def test_without_a_pool_nothing_is_cached_and_it_says_so(small: Any) -> None:
    engine = small(cache_tokens=0)
    first, second = (greedy(engine, [ids_of(1, 30)])[0] for _ in range(2))
    assert first.samples == second.samples and second.usage.cached is None
    assert not engine.capabilities.reports_cached and engine.capabilities.cache_tokens == 0


def test_a_second_turn_finds_the_first_and_its_output(small: Any) -> None:
    engine, first = small(), ids_of(3, 50)
    (reply,) = greedy(engine, [first], 20)
    second = first + reply.samples[0].ids + ids_of(4, 5)
    (again,) = greedy(engine, [second])
    assert again.usage.cached == len(first) + reply.usage.completion - 1  # all that was ever fed


def test_prompts_that_begin_alike_compute_it_once(small: Any) -> None:
    engine, shared = small(), ids_of(5, 200)
    prompts = [shared + ids_of(i, 10) for i in range(20)]
    cached = [r.usage.cached or 0 for r in greedy(engine, prompts, 2)]
    assert sum(map(len, prompts)) - sum(cached) <= 1.05 * (200 + 20 * 10 + 20)


def test_more_samples_than_fit_at_once_come_in_turns(small: Any) -> None:
    engine = small(in_flight=4, batch_tokens=200)
    request = GenerateRequest(ids_of(1, 30), Decoding(temperature=1.0, max_tokens=10), n=11)
    (reply,) = all_at_once(engine.generate(request))
    assert len(reply.samples) == 11 and len({s.ids for s in reply.samples}) > 1
    with pytest.raises(EngineError, match="batch_tokens"):
        all_at_once(engine.generate(GenerateRequest(ids_of(1, 30), Decoding(max_tokens=190))))


def test_one_batch_holds_settings_of_all_kinds(small: Any) -> None:
    import torch

    from flopwise.backends.engines.transformers_sampling import choose

    row = torch.tensor([4.0, 3.0, 2.0, 1.0, -9.0])
    kinds = {
        (0.0, 1.0, 0): {0},
        (1.0, 1.0, 0): {0, 1, 2, 3},
        (1.0, 1.0, 2): {0, 1},
        (1.0, 0.9, 0): {0, 1, 2},  # 0.64, 0.24 and what crosses 0.9
        (1e-8, 1.0, 0): {0},
        (5.0, 0.5, 3): {0, 1},
    }
    settings = [Decoding(temperature=t, top_p=p, top_k=k) for t, p, k in kinds] * 400
    generator = torch.Generator().manual_seed(1)
    tokens = choose(row.repeat(len(settings), 1), settings, generator)
    assert [set(tokens[i :: len(kinds)]) for i in range(len(kinds))] == list(kinds.values())


def test_scores_are_the_softmax_of_one_pass(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    ids, choices = ids_of(7, 33), (5, 250, 17)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    expected = model(torch.tensor([ids])).logits[0, -1, list(choices)].softmax(0).tolist()
    engine = TransformersEngine(folder, TransformersSettings(device="cpu"))
    try:
        for _ in range(2):  # the second time with a held prefix
            (scores,) = all_at_once(engine.score(ScoreRequest(ids, choices)))
            assert scores.probabilities == pytest.approx(expected, abs=1e-4)
    finally:
        engine.close()


def test_a_pass_that_torch_refuses_fails_alone(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = small()
    real = engine._worker._forward.prefill

    def prefill(prompts: list[TokenIds], new: int) -> Any:
        if prompts[0][0] == 299:
            raise RuntimeError("out of memory\nand a long tale")
        return real(prompts, new)

    monkeypatch.setattr(engine._worker._forward, "prefill", prefill)
    with pytest.raises(EngineError, match=r"out of memory\).*batch_tokens"):
        greedy(engine, [(299, 1, 2)])
    assert len(greedy(engine, [ids_of(1, 9)])[0].samples) == 1


def test_a_broken_thread_tells_all_who_wait(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = small()
    monkeypatch.setattr(engine._worker, "_pick", lambda: 1 / 0)
    for _ in range(2):
        with pytest.raises(EngineError, match=r"ZeroDivisionError.*make another engine"):
            greedy(engine, [ids_of(1, 9)])


def test_what_cannot_be_loaded_says_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 9}))
    with pytest.raises(EngineError, match=r"tokenizer\.json"):
        make(f"transformers:{tmp_path}")
    with pytest.raises(EngineError, match=r"cannot load .*weights"):
        make(f"transformers:{write_folder(tmp_path / 'bare')}", device="cpu")
    family(tmp_path / "llama", "llama")
    said = json.loads((tmp_path / "llama" / "config.json").read_text())
    (tmp_path / "llama" / "config.json").write_text(json.dumps({**said, "num_hidden_layers": 4}))
    with pytest.raises(EngineError, match=r"lack.*layers\.3"):
        make(f"transformers:{tmp_path / 'llama'}", device="cpu")
    with pytest.raises(EngineError, match="did you mean 'dtype'"):
        make(f"transformers:{tmp_path}", dtyp="bfloat16")


def test_ids_beyond_the_vocabulary_are_refused(small: Any) -> None:
    engine = small()
    for work in (engine.prefill((1, 400)), engine.score(ScoreRequest((1,), (400,)))):
        with pytest.raises(EngineError, match="is 400"):
            all_at_once(work)


def test_a_known_gguf_is_loaded_as_its_folder_is(server: Server) -> None:
    engines = [make(f"transformers:{m}", device="cpu") for m in (MODEL, server.model)]
    try:
        ids = prompt(engines[0], "Is the sea wet? Answer yes or no.")
        choices = tuple(engines[0].tokenizer.encode(c)[0] for c in ("Yes", "No"))
        scores = [all_at_once(e.score(ScoreRequest(ids, choices)))[0].probabilities for e in engines]
        assert scores[0] == pytest.approx(scores[1], abs=1e-3)
        assert ask(engines[0], "Yes?", grammar=Grammar("regex", "(yes|no)")).samples[0].text in ("yes", "no")
        assert engines[0].model.context == engines[1].model.context and engines[0].model.cost == engines[1].model.cost
        assert engines[0].model.fingerprint != engines[1].model.fingerprint  # other bytes
    finally:
        for engine in engines:
            engine.close()
