"""Plans as people read them: the exact text of every prompt."""

from __future__ import annotations

from ..ir.engines import ByEngine
from ..ir.plan import Carry, Fill, Plan, PromptPlan, Static
from ..ir.target import Target, Tokenizer


def prompt_texts(plan: Plan, targets: ByEngine[Target]) -> dict[str, str]:
    """Each prompt's text as it will be sent, special tokens and all, slots as `{name}`."""
    return {name: prompt_text(prompt, targets.of(prompt.engine).tokenizer) for name, prompt in plan.prompts.items()}


def prompt_text(prompt: PromptPlan, tokenizer: Tokenizer) -> str:
    """One prompt's text, slots in braces, a carried generation in angle brackets."""
    parts = []
    for piece in prompt.pieces:
        match piece:
            case Static(ids):
                parts.append(tokenizer.decode_all(ids))
            case Carry(ref):
                parts.append(f"<prompt and output of {str(ref)[1:]}>")
            case Fill(ref, lead=lead, tail=tail):
                parts.append(lead + "{" + str(ref)[1:] + "}" + tail)
    return "".join(parts)
