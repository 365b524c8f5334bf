"""One query on its way through a plan: its fuel, its trace, and what it has already sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import InputError
from ...ir.engines import MAIN, ByEngine, in_graph
from ...ir.flops import price
from ...ir.plan import SEAM, Carry, Fill, Plan, PromptPlan, Static
from ...ir.prompt import Ref
from ...ir.record import Asked, Failure, Generation, Trace
from ...ir.request import TokenIds
from ...ir.schemas import STRING, Field
from ...ir.target import Target, Tokenizer
from ...ir.types import read, render_value
from .fuel import Fuel


class Query:
    """The state of one run.

    The FLOPs charged follow the rules of the static bounds, so those always hold: static prefixes are resident, and
    so is what this query has sent before to the same engine, in whole blocks.

    Args:
        plan: What is asked.
        targets: The engines that it was lowered for.
        keep: Full names of nodes whose values the trace shall keep.
    """

    __slots__ = ("_sent", "fuel", "keep", "plan", "targets", "trace")

    def __init__(self, plan: Plan, targets: ByEngine[Target], keep: frozenset[str]) -> None:
        self.plan = plan
        self.targets = targets
        self.keep = keep
        self.fuel = Fuel(plan.cap, plan.least)
        self.trace = Trace(bound=plan.bound, prompt_of=self._prompt_of)
        self._sent: set[tuple[str | None, TokenIds]] = set()

    def _prompt_of(self, asked: Asked) -> str:
        return self.targets.of(in_graph(asked.engine)).tokenizer.decode_all(asked.ids)

    def fail(self, node: str, reason: str) -> Failure:
        """A new failure, noted in the trace."""
        failure = Failure(node, reason)
        self.trace.failures.append(failure)
        return failure

    def note(self, node: str, value: Any) -> None:
        """Keep a node's value in the trace if the caller asked for it."""
        if node in self.keep:
            self.trace.values[node] = value

    def ids(self, node: str, prompt: PromptPlan, values: Mapping[Ref, Any]) -> tuple[TokenIds, int] | Failure:
        """The token ids of a prompt and how many of them are resident; a failure where a value has no ids.

        Args:
            node: Full dotted name, for errors.
            prompt: The prompt's plan.
            values: The values of its slots and its carried generation.

        Raises:
            InputError: An input of the caller is longer than its cap, or has a text that cannot be encoded.
        """
        parts: list[int] = []
        kept = prompt.static
        target = self.targets.of(prompt.engine)
        for piece in prompt.pieces:
            if isinstance(piece, Static):
                parts += piece.ids
            elif isinstance(piece, Carry):
                earlier: Generation = values[piece.ref]
                parts += earlier.prompt
                parts += earlier.sample.ids
                kept = len(parts) - 1
            else:
                filled = self._fill(node, piece, values[piece.ref], target.tokenizer)
                if isinstance(filled, Failure):
                    return filled
                parts += filled
        ids = tuple(parts)
        before = len(self._sent)
        self._sent.add((prompt.engine, ids))
        if len(self._sent) == before:
            kept = len(ids) - 1
        block = target.capabilities.block
        return ids, min(kept, len(ids) - 1) // block * block

    def _fill(self, node: str, piece: Fill, value: Any, tokenizer: Tokenizer) -> TokenIds | Failure:
        try:
            text = value.text if isinstance(value, Generation) else render_value(value)
            ids = tokenizer.encode(piece.lead + text + piece.tail)
        except (InputError, ValueError) as error:  # a lone surrogate, or what JSON cannot say
            if piece.given:
                raise InputError(f"input {piece.given!r} at node {node!r}: {error}") from None
            # What the model or a function made is no fault of the caller: this query fails, the batch goes on.
            return self.fail(node, f"the value of {piece.ref} cannot stand in a prompt: {error}")
        if len(ids) <= piece.cap:
            return ids
        tail = tokenizer.encode(piece.tail)
        if piece.truncate:
            return (*ids[: piece.cap - len(tail)], *tail)
        # What stands around it is in the plan's cap, but not in the user's.
        around = len(tokenizer.encode(piece.lead)) + (len(tail) + SEAM if tail else 0)
        takes, cap = len(tokenizer.encode(text)), piece.cap - around
        raise InputError(
            f"input {piece.given!r} takes {takes} tokens at node {node!r}, but its cap is {cap}; shorten it, or "
            f"compile with caps={{{piece.given!r}: {takes}}} or more"
        )

    def charge(
        self,
        node: str,
        engine: str | None,
        ids: TokenIds,
        cached: int,
        outputs: tuple[str, ...],
        completions: tuple[int, ...],
    ) -> float:
        """Charge a request to an engine that has ended to the query, note it in the trace, and return its FLOPs."""
        flops = price(self.targets.of(engine).model.cost, len(ids), cached, completions)
        trace = self.trace
        trace.requests.append(Asked(node, ids, outputs, cached, sum(completions), flops, engine or MAIN))
        trace.flops += flops
        return flops


class InputReader:
    """Reads a program's inputs: what is known of its fields is looked up once, not for every query.

    Args:
        fields: What the program takes.
    """

    __slots__ = ("_fields", "_names", "_needed")

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = tuple((f, f.name, f.optional, f.type_json == STRING) for f in fields)
        self._names = frozenset(f.name for f in fields)
        self._needed = frozenset(f.name for f in fields if not f.optional)

    def read(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The program's inputs, typed.

        Raises:
            InputError: A field is unknown, missing, of the wrong type, or not valid Unicode.
        """
        given = inputs.keys()
        if not self._needed <= given <= self._names:
            raise self._mismatch(inputs)
        values = {}
        for field, name, optional, text in self._fields:
            value = inputs.get(name)
            # A plain text is what a field of type string takes, as it is; ASCII cannot hold a broken character.
            plain = text and type(value) is str and value.isascii()
            values[name] = value if plain or (value is None and optional) else _checked(field, value)
        return values

    def _mismatch(self, inputs: Mapping[str, Any]) -> InputError:
        known = [field.name for field, *_ in self._fields]
        unknown = [name for name in inputs if name not in self._names]
        missing = [name for name in known if name in self._needed and name not in inputs]
        return InputError(
            f"the pipeline takes {', '.join(known)};"
            + (f" unknown: {', '.join(map(repr, unknown))}." if unknown else "")
            + (f" missing: {', '.join(map(repr, missing))}." if missing else "")
        )


def _checked(field: Field, value: Any) -> Any:
    if isinstance(value, str):
        _check_unicode(field.name, value)
    try:
        return read(field.type_json, value)
    except ValueError as error:
        why = error.errors()[0]["msg"] if hasattr(error, "errors") else error
        raise InputError(f"input {field.name!r}: {why}, but got {value!r:.200}") from None


def _check_unicode(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"input {name!r}: text must be valid Unicode, but position {error.start} holds "
            f"{text[error.start]!r}; decode it with errors='replace'"
        ) from None
