"""adaptive_best: best-of-N that asks after each try whether another one would be better.

Adaptive sampling by self-evaluation (Manvi, Singh and Ermon, 2024, arXiv:2410.02725).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...errors import TraceError
from ...ir.builder import Builder
from ...ir.choices import Var
from ...ir.nodes import Type
from ...ir.prompt import Ref
from ..base import Module, S, check_module
from ..computed import computation, compute
from ..judging.another import Another
from ..limits import check_whole
from ..symbols import Symbol, Tracer, place, tracer, tracing


@dataclass(frozen=True)
class AdaptiveBest(Module[S]):
    """What `adaptive_best(...)` makes: tries one after another until one is said to be enough, and the best of them.

    Expands to::

        graph AdaptiveBest(question):
          %AdaptiveBest.none: list[Answer] = gather()
          %AdaptiveBest.begun: value = const() False
          %AdaptiveBest.tries: tuple = loop(%AdaptiveBest.none, %AdaptiveBest.begun, %question) while at most 16 trips (1 required) until %done with records, done, outer.question
            graph AdaptiveBest.tries(outer.question, records, done):
              %AdaptiveBest.draft.answer: text = generate() n=1 T=0.7 max=32 from %outer.question
              %AdaptiveBest.draft.record: Answer = parse(%AdaptiveBest.draft.answer, %outer.question) scalar -> question, answer
              %AdaptiveBest.another.another: number = score() No/Yes from %outer.question, %AdaptiveBest.draft.answer.text
              %AdaptiveBest.another.threshold: value = const() 0.5
              %AdaptiveBest.another.enough: value = host(%AdaptiveBest.another.another, %AdaptiveBest.another.threshold) flopwise.modules.computed:at_least
              %AdaptiveBest.another.record: Answer = pack(%AdaptiveBest.draft.record, %AdaptiveBest.another.another, %AdaptiveBest.another.enough) base + weight, enough
              %all: list[Answer] = gather(%records, %AdaptiveBest.another.record)
              %stop: value = host(%all) flopwise.modules.selection.adaptive_best:any_enough
              return %all, %stop
          %AdaptiveBest.best: Answer = reduce(%AdaptiveBest.tries[0]) best
          return %AdaptiveBest.best
    """  # noqa: E501

    draft: Any = field(default=None, kw_only=True)
    another: Any = field(default=None, kw_only=True)
    judge: Any = field(default=None, kw_only=True)
    n: Any = field(default=16, kw_only=True)
    warmth: Any = field(default=0.7, kw_only=True)

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Trace a try as the body of a while-region that carries all tries, and take the best of them."""
        current = tracer("adaptive_best")
        named = self.named(self.name or "adaptive_best")
        base = current.unique(f"{named.name}.tries")
        if isinstance(named.n, Var):
            current.claim(f"?{named.n.name}", named.n)
        inner = Tracer(Builder(base), current)
        params = (current.unique("records"), current.unique("done"))
        with tracing(inner):
            tried = named._try(records, inputs)
            schema = tried._type.schema
            if tried._type.many or schema is None:
                raise TraceError(f"{place()}: adaptive_best takes a module that gives one record, not {tried!r}")
            so_far = inner.builder.input(params[0], Type("record", schema, many=True))
            inner.builder.input(params[1], Type("value"))
            together = inner.builder.gather("all", schema, (so_far, inner.ref(tried)))
            stop = compute(inner.builder, "stop", any_enough, together)
        b, body = current.builder, inner.builder.graph((together, stop), schema)
        none = b.gather(current.unique(f"{named.name}.none"), schema, ())
        begun = b.const(current.unique(f"{named.name}.begun"), False)
        bind = {params[0]: none, params[1]: begun, **inner.bindings(current)}
        until = Ref(params[1])
        tries = b.loop(base, "while", body, bind, named.n, Type("tuple"), required=1, until=until)
        taken = b.reduce(current.unique(f"{named.name}.best"), tries.at(0), schema, "best")
        return Symbol(taken, Type("record", schema), current)

    def _try(self, records: tuple[Any, ...], inputs: dict[str, Any]) -> Symbol:
        """A draft, weighed by itself and, where there is a judge, by that."""
        draft: Symbol = self.draft.sampled(self.warmth).trace(*records, **inputs)
        weighed: Symbol = self.another.trace(draft)
        return weighed if self.judge is None else self.judge.trace(weighed)


@computation
def any_enough(records: list[Any]) -> bool:
    """Whether one of the records is said to be enough."""
    return any(r.enough for r in records)


def adaptive_best(
    module: Module[S],
    n: int = 16,
    *,
    enough: float = 0.5,
    judge: Module[S] | None = None,
    temperature: float = 0.7,
    name: str = "",
) -> Module[S]:
    """Draw until the model says that another try would not be better, at most n times, and take the best draft.

    After each draft one token says how likely another try from the beginning would be better; where "No" reaches
    `enough` the draws end. The best is the draft with the likeliest "No", the last where a "No" ended the draws, or
    the one that a judge weighs most. It suits free texts, which no vote can compare; where votes are possible,
    `adaptive_vote` sees more than one draft at a time. The draws wait for each other.

    Args:
        module: What is drawn from.
        n: Most drafts, or an `fw.integer(...)` choice.
        enough: The probability of "No" that ends the draws, or an `fw.real(...)` choice: more draws more. It depends
            on the model, so leave it to a search where you can.
        judge: A module over records that weighs them, such as `fw.Verifier(Solve)`; it judges each draft once.
        temperature: What to draw with where the module sets none.
        name: Name in a function program.

    A draft that fails ends nothing and is not among those to take. In the paper the model is trained to answer the
    question; a model as it comes is less sure of itself. The record has the further field `enough`.

    Cost: 1 to n times the module's and one Score each; n x (M + S(p + r)), where M is the module's, p its prompt and r
    what it wrote, which is in the cache; another Score each where there is a judge. The static bound is that of all n;
    under a cap per query, a further try starts only while its bound is covered.

    Raises:
        TraceError: module or judge is none, or n is no whole number of 1 or more.
        SignatureError: enough is no probability.
    """
    for one in (module, *([] if judge is None else [judge])):
        check_module("adaptive_best", one)
    check_whole(f"{place()}: adaptive_best", "n", n, 1, error=TraceError)
    another: Module[S] = Another(module.of, threshold=enough)
    return AdaptiveBest(
        module.of, draft=module, another=another, judge=judge, n=n, warmth=temperature, name=name, demos=()
    )
