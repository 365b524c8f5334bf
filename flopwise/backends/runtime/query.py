"""One query on its way through a plan: its fuel, its trace, and what it has already sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import InputError
from ...ir.flops import Cost
from ...ir.plan import Carry, Plan, PromptPlan, Static
from ...ir.record import Asked, Failure, Generation, Trace
from ...ir.request import TokenIds
from ...ir.target import Tokenizer
from ...ir.types import jsonable, render_value
from .fuel import Fuel


class Query:
    """The state of one run. The FLOPs charged follow the rules of the static bounds, so those always hold:
    static prefixes are resident, and so is what this query has sent before, in whole blocks."""

    __slots__ = ("_sent", "cost", "fuel", "keep", "plan", "tokenizer", "trace")

    def __init__(self, plan: Plan, cost: Cost | None, tokenizer: Tokenizer, keep: frozenset[str]) -> None:
        self.plan = plan
        self.cost = cost
        self.tokenizer = tokenizer
        self.keep = keep
        self.fuel = Fuel(plan.cap, plan.least)
        self.trace = Trace(bound=plan.bound, decode=tokenizer.decode_all)
        self._sent: set[TokenIds] = set()

    def fail(self, node: str, reason: str) -> Failure:
        """A new failure, noted in the trace."""
        failure = Failure(node, reason)
        self.trace.failures.append(failure)
        return failure

    def ids(self, node: str, prompt: PromptPlan, values: Sequence[Any]) -> tuple[TokenIds, int]:
        """The token ids of a prompt and how many of them are resident.

        Args:
            node: Full dotted name, for errors.
            prompt: The prompt's plan.
            values: The value of each slot and carried generation, in order.

        Raises:
            InputError: An input of the caller is longer than its cap.
        """
        parts: list[int] = []
        kept = prompt.static
        given = iter(values)
        for piece in prompt.pieces:
            if isinstance(piece, Static):
                parts += piece.ids
            elif isinstance(piece, Carry):
                earlier: Generation = next(given)
                parts += earlier.prompt
                parts += earlier.sample.ids
                kept = len(parts) - 1
            else:
                parts += self._fill(node, piece, next(given))
        ids = tuple(parts)
        if ids in self._sent:
            kept = len(ids) - 1
        self._sent.add(ids)
        block = self.plan.block
        return ids, min(kept, len(ids) - 1) // block * block

    def _fill(self, node: str, piece: Any, value: Any) -> TokenIds:
        text = value.text if isinstance(value, Generation) else render_value(value)
        ids = self.tokenizer.encode(piece.lead + text)
        if len(ids) <= piece.cap:
            return ids
        if piece.truncate:
            return ids[: piece.cap]
        raise InputError(
            f"input {piece.given!r} takes {len(ids)} tokens at node {node!r}, but its cap is {piece.cap}; shorten it, "
            f"or compile with caps={{{piece.given!r}: {len(ids)}}} or more"
        )

    def charge(
        self, node: str, ids: TokenIds, cached: int, outputs: tuple[str, ...], completions: tuple[int, ...]
    ) -> float:
        """Charge a request that has ended to the query, note it in the trace, and return its FLOPs."""
        flops = self.cost.request(len(ids), cached, completions) if self.cost is not None else 0.0
        self.trace.requests.append(Asked(node, ids, outputs, cached, sum(completions), flops))
        self.trace.flops += flops
        return flops


def check_inputs(inputs: Mapping[str, Any], readers: Mapping[str, tuple[Any, bool]]) -> dict[str, Any]:
    """The program's inputs, typed.

    Args:
        inputs: What the caller gave.
        readers: For each field its type adapter and whether it may be left out.

    Raises:
        InputError: A field is unknown, missing, of the wrong type, or not valid Unicode.
    """
    unknown = [name for name in inputs if name not in readers]
    missing = [name for name, (_, optional) in readers.items() if name not in inputs and not optional]
    if unknown or missing:
        raise InputError(
            f"the pipeline takes {', '.join(readers)};"
            + (f" unknown: {', '.join(map(repr, unknown))}." if unknown else "")
            + (f" missing: {', '.join(map(repr, missing))}." if missing else "")
        )
    return {name: _checked(name, inputs.get(name), adapter, opt) for name, (adapter, opt) in readers.items()}


def _checked(name: str, value: Any, adapter: Any, optional: bool) -> Any:
    if value is None and optional:
        return None
    if isinstance(value, str):
        _check_unicode(name, value)
    try:
        return adapter.validate_python(value)
    except ValueError as error:
        # The schema knows no user's classes: enums and models are read by what they hold.
        plain = _plain(value)
        if plain is not None:
            return _checked(name, plain, adapter, optional)
        details = getattr(error, "errors", lambda: [{"msg": str(error)}])()
        raise InputError(f"input {name!r}: {details[0]['msg']}, but got {value!r:.200}") from None


def _check_unicode(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"input {name!r}: text must be valid Unicode, but position {error.start} holds "
            f"{text[error.start]!r}; decode it with errors='replace'"
        ) from None


def _plain(value: Any) -> Any:
    """A value of a user's class as plain data; None where it is plain already."""
    try:
        plain = jsonable(value)
    except ValueError:
        return None
    return None if type(plain) is type(value) and plain == value else plain
