"""What a model costs: as declared where the engine is made, else by its shape."""

from __future__ import annotations

from ...errors import BudgetError, EngineError
from ...ir.flops import Cost, FlatCost, ModelShape, parse_flops


def declared_cost(kind: str, declared: float | str | None, shape: ModelShape | None) -> Cost | None:
    """What prices an engine's requests; None where nothing is declared and the shape is unknown.

    Args:
        kind: The engine's kind, for the message.
        declared: FLOPs of a token, prefilled or decoded, as a number or a text such as "3 GFLOP"; None for none.
        shape: The model's.

    Raises:
        EngineError: What is declared is no positive, finite quantity of FLOPs.
    """
    if declared is None:
        return shape
    if isinstance(declared, bool) or not isinstance(declared, (int, float, str)):
        raise EngineError(
            f'engine {kind}: flops_per_token must be a quantity such as 3e9 or "3 GFLOP", but got {declared!r:.80}'
        )
    try:
        return FlatCost(parse_flops(declared, "flops_per_token"))
    except BudgetError as error:
        raise EngineError(f"engine {kind}: {error}") from error
    except OverflowError as error:
        raise EngineError(f"engine {kind}: flops_per_token must be finite, but is too large a number") from error
