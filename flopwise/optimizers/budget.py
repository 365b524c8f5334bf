"""Budgets: how many FLOPs a query of the result may take, and how many the search."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BudgetError
from ..ir.flops import format_flops, parse_flops


@dataclass(frozen=True, slots=True, init=False)
class Budget:
    """Caps in FLOPs; None is no cap.

    Attributes:
        per_query: Most FLOPs that one query of the compiled pipeline may take.
        search: Most FLOPs that the whole search may take of its engine, demos and holdout included. What a metric asks
            of pipelines of its own is not counted yet.
    """

    per_query: float | None
    search: float | None

    def __init__(self, per_query: str | float | None = None, search: str | float | None = None) -> None:
        """Read both caps from numbers or texts such as "4 TFLOP".

        Raises:
            BudgetError: A cap is no positive, finite quantity of FLOPs, or a query may take more than the search.
        """
        object.__setattr__(self, "per_query", _parsed(per_query, "per_query"))
        object.__setattr__(self, "search", _parsed(search, "search"))
        if self.per_query is not None and self.search is not None and self.per_query > self.search:
            raise BudgetError(
                f"`per_query <= search` must hold, but got per_query={format_flops(self.per_query)}, "
                f"search={format_flops(self.search)}; a search runs many queries, so raise search="
            )

    def __str__(self) -> str:
        query = "any FLOPs" if self.per_query is None else f"at most {format_flops(self.per_query)}"
        search = "any FLOPs" if self.search is None else f"at most {format_flops(self.search)}"
        return f"{query} per query, {search} for the search"


def check_budget(budget: object) -> Budget:
    """The budget; anything else is a BudgetError that says how to make one."""
    if isinstance(budget, Budget):
        return budget
    raise BudgetError(
        f'budget: fw.Budget(per_query=..., search=...) is needed, such as fw.Budget("4 TFLOP", "1 PFLOP"), '
        f"but got {budget!r:.80}"
    )


def _parsed(value: str | float | None, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BudgetError(f'budget {name}: a quantity such as "4 TFLOP" or 4e12 is needed, but got {value!r}')
    try:
        return parse_flops(value, f"budget {name}")
    except OverflowError as error:
        raise BudgetError(f"budget {name}: FLOPs must be finite, but got an integer too large for that") from error
