"""Methods that look something up: documents, and tools."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import flopwise as fw

from ._facts import Look, look_up, passages
from ._method import REASON, Method

_READING = ("facts_one_hop", "facts_two_hops")
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip


@fw.op
def calculate(expression: str) -> float:
    """The value of an arithmetic expression such as "3 * (4 + 5)", with + - * / // % and brackets."""
    return float(_value(ast.parse(expression.replace(",", ""), mode="eval").body))


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return float(_OPERATORS[type(op)](_value(left), _value(right)))
    raise ValueError("only numbers, + - * / // % and brackets can be calculated")


def _found() -> Any:
    return fw.documents([{"text": text, "id": name} for name, text in passages().items()])


DOCUMENTS = (
    Method(
        "RetrieveThenRead",
        lambda g: fw.RetrieveThenRead(fw.ChainOfThought(g.of, demos=(), max_tokens=REASON), documents=_found(), k=4),
        _READING,
        "4 passages of 56, found by words; no context is given",
        120,
    ),
    Method(
        "DRAG",
        lambda g: fw.MultiHop(Look, documents=_found(), k=4, rounds=0, demos=()),
        _READING,
        "4 passages, no examples",
        20,
    ),
    Method(
        "MultiHop",
        lambda g: fw.MultiHop(Look, documents=_found(), k=3, rounds=3, demos=()),
        _READING,
        "3 passages, 3 rounds of the paper's 5, no examples",
        120,
    ),
    Method(
        "ReAct",
        lambda g: fw.ReAct(Look, tools=(look_up,), rounds=4, max_tokens=96),
        _READING,
        "4 rounds; one tool, which knows names",
        250,
    ),
    Method(
        "ReAct, calculator",
        lambda g: fw.ReAct(g.of, tools=(calculate,), rounds=5, max_tokens=96),
        ("gsm8k", "multiarith"),
        "5 rounds; one tool",
        350,
    ),
)
