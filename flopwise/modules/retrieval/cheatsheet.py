"""Cheatsheet: a memory of what helped before (Dynamic Cheatsheet, Suzgun et al., 2025, arXiv:2504.07952), frozen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.choices import Categorical, Var
from ...ir.prompt import Message, Prompt, Ref
from ..base import Module, S
from ..extract import lead, marker, reason_then_extract
from ..limits import check_whole
from ..open import Open
from ..prompting.predict import reasoned
from ..template import Writer
from .retrieve import source_of

_HEAD = "Cheatsheet of what helped with tasks like this. Use what fits, pass over the rest."
_TEMPLATE = """\
{% block system %}{{ instruction }}{% if sheet %}

{{ head }}
{{ sheet }}{% endif %}{% endblock %}
{% block user %}{% if technique %}{{ technique }}

{% endif %}{% if found and technique %}{{ head }}
{{ cheatsheet }}

{% endif %}{% for f in inputs if f.name != "cheatsheet" %}{{ f.label }}: {{ f.value }}{% if not loop.last %}
{% endif %}{% endfor %}{% endblock %}
{% block assistant %}{{ demo.reasoning }}

{{ marker }}{{ answer }}{% endblock %}
"""
_CURATE = """\
From notes on earlier tasks write a short cheatsheet for a new task: the strategies, formulas and pitfalls in the \
notes that help with it, in general words. Do not solve the task.

Tasks of this kind: {{ instruction }}

Notes:
{{ cheatsheet }}

New task:
{% for f in inputs if f.name != "cheatsheet" %}{{ f.label }}: {{ f.value }}
{% endfor %}
Cheatsheet:"""


@dataclass(frozen=True)
class Cheatsheet(Module[S]):
    r"""Reasons with a memory of strategies and solved tasks at hand, then gives the outputs.

    The memory is a text, such as what `fw.curate(...)` made of worked examples at compile time; it stands in the part
    of the prompt that all queries share. Or it is an index, such as `fw.solved(...)` makes of worked examples: the k
    entries nearest to the inputs are shown, and with `curate` the model first writes a cheatsheet for this query out
    of them, as DC-RS does. The paper's memory grows while it is used; this one is frozen when the pipeline is saved.

    Attributes:
        memory: A text, a choice between texts, `fw.documents(...)`, `fw.solved(...)` or `fw.retriever(...)`.
        k: Of an index, how many entries for each query; a whole number or `fw.integer(...)`.
        curate: Of an index, whether the model writes a cheatsheet out of the entries first.
        sheet_tokens: Most tokens of what it writes.

    Its record has the further fields `reasoning` and, with an index, `cheatsheet`: what was shown. A template with
    the block of the memory, `system` for a text and `user` for an index, places {{ sheet }} or {{ cheatsheet }} itself.

    Use it where tasks are alike and strategies carry over: a known trick, a formula, a format.

    Cost: 2 calls, C(t + p, max_tokens) + C(4, a) for a memory of t tokens, a prompt of p and outputs of a; of a text
    the t tokens are resident. With an index of entries of c tokens t is k x c, and E is added for embedding the query;
    with `curate` a third call, C(p + k x c, sheet_tokens), and t is `sheet_tokens`.
    Limits: nothing checks that the memory is right, and small models copy from it.

    Expands to::

        graph Cheatsheet(question):
          %m.memory.found: list[value] = retrieve(%question) 2 of 4 by lexical
          %m.memory.text: value = host(%m.memory.found) flopwise.modules.retrieval.passages:items_text
          %m.curate: text = generate() n=1 T=0 max=256 from %m.memory.text, %question
          %m.reason: text = generate() n=1 T=0 max=512 stop=['\n\nAnswer:'] from %m.curate.text, %question
          %m.answer: text = generate() n=1 T=0 max=32 from %m.reason
          %m.record: Answer = parse(%m.answer, %question, %m.curate.text, %m.reason.text) scalar -> question, cheatsheet, reasoning, answer
          return %m.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("cheatsheet", "reasoning")
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)
    memory: Any = field(default=None, kw_only=True)
    k: Any = field(default=3, kw_only=True)
    curate: bool = field(default=False, kw_only=True)
    sheet_tokens: int = field(default=256, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("Cheatsheet", "sheet_tokens", self.sheet_tokens, 1)
        if isinstance(self.memory, (str, Open, Var)):
            self._check_text()
        else:
            object.__setattr__(self, "memory", source_of("Cheatsheet", self.memory))
            check_whole("Cheatsheet", "k", self.k, 1, self.memory.most)

    def _check_text(self) -> None:
        domain = getattr(self.memory, "domain", None)
        texts = domain.labels if isinstance(domain, Categorical) else (self.memory,)
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise SignatureError(
                f"Cheatsheet: memory: a text, a choice of texts or an index is needed, but got {self.memory!r:.100}; "
                "write memory='...' or memory=fw.solved(...)"
            )
        if self.curate:
            raise SignatureError(
                "Cheatsheet: curate: only what is found for a query is curated, but the memory is a text; give "
                "memory=fw.solved(...), or curate the text before with fw.curate(...)"
            )

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The memory in the system's turn, or what is found in it before the inputs; then reasoning and outputs."""
        schema, text = self.signature, isinstance(self.memory, str)
        shown = {} if text else {"cheatsheet": self._found(b, inputs)}
        prompt = Writer(schema, _TEMPLATE, self.template).prompt(
            b, {**shown, **inputs}, self.worked,
            technique=reasoned(schema), marker=marker(schema) + lead(schema),
            sheet=self.memory if text else "", found=not text, head=_HEAD,
        )  # fmt: skip
        return reason_then_extract(b, prompt, schema, self.decoding(), {**inputs, **shown})

    def _found(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The entries nearest to the inputs, or what the model makes of them."""
        notes: Ref = self.memory.find(b, "memory", tuple(inputs.values()), self.k)
        if not self.curate:
            return notes
        asked = Writer(self.signature).text(_CURATE, {"cheatsheet": notes, **inputs})
        decoding = self.decoding(max_tokens=self.sheet_tokens)
        return b.generate("curate", Prompt((Message("user", asked),)), decoding).at("text")

    def __str__(self) -> str:
        told = str(self.memory)
        if isinstance(self.memory, str):
            told = f"memory {hashlib.sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
        return f"{super().__str__()} with {told}"
