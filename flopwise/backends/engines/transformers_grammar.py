"""Grammars for a Transformers model, by xgrammar: compiled once, followed token by token."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ...errors import EngineError
from ...ir.request import Grammar


class Grammars:
    """Compiles grammars against a vocabulary. Compiling is safe from several threads.

    Args:
        tokenizer: The Transformers tokenizer.
        vocab: Columns of the model's logits.
        ends: Ids that end a turn: allowed where a grammar is complete.
    """

    def __init__(self, tokenizer: Any, vocab: int, ends: Sequence[int]) -> None:
        import xgrammar

        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocab, stop_token_ids=list(ends))
        self._compiler = xgrammar.GrammarCompiler(info, max_threads=os.cpu_count() or 1)

    def compile(self, grammar: Grammar) -> Any:
        """A compiled grammar; raises EngineError where it is malformed."""
        try:
            if grammar.kind == "json_schema":  # free whitespace is where a model gets lost
                return self._compiler.compile_json_schema(grammar.text, any_whitespace=False)
            if grammar.kind == "regex":
                return self._compiler.compile_regex(grammar.text)
            return self._compiler.compile_grammar(grammar.text)
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).strip().rpartition("\n")[2]
            raise EngineError(
                f"the {grammar.kind} grammar cannot be compiled ({reason}): {grammar.text!r:.300}"
            ) from error


def load_grammars(tokenizer: Any, model: Any, ends: Sequence[int]) -> Grammars | None:
    """The compiler for a model's vocabulary; None where xgrammar is not installed."""
    try:
        return Grammars(tokenizer, model.get_output_embeddings().weight.shape[0], ends)
    except ImportError:
        return None


def matcher(compiled: Any) -> Any:
    """What follows one row through a compiled grammar; None follows none."""
    if compiled is None:
        return None
    import xgrammar

    return xgrammar.GrammarMatcher(compiled)


def forbid(logits: Any, matchers: Sequence[Any]) -> None:
    """Set to minus infinity, in place, what each row's matcher does not allow next."""
    rows = [i for i, m in enumerate(matchers) if m is not None]
    if not rows:
        return
    import xgrammar

    mask = xgrammar.allocate_token_bitmask(len(matchers), logits.shape[-1])
    for row in rows:
        matchers[row].fill_next_token_bitmask(mask, row)
    xgrammar.apply_token_bitmask_inplace(logits, mask.to(logits.device), indices=rows)
