"""Retriever: a user's own way to find passages, a plain function or an object's method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...errors import SignatureError, TraceError
from ...ir.builder import Builder
from ...ir.nodes import Host, Op, Type
from ...ir.prompt import Ref
from ..computed import compute
from ..control import source_hash
from ..limits import check_whole
from .passages import LINE, found_text, query_text

CAP = 200


@dataclass(frozen=True)
class Retriever:
    """What `fw.retriever(...)` makes: a function that finds texts, called when the pipeline runs.

    Attributes:
        fn: Takes a query and how many texts are wanted, gives that many or fewer, the best first; may be async.
        target: Its import path, `module:name`.
        cap: Most tokens of each text; what is longer is cut.
        pure: Same arguments, same result, no effects.
    """

    fn: Callable[[str, int], Any]
    target: str
    cap: int = CAP
    pure: bool = True

    def __call__(self, query: str, k: int) -> Any:
        """What the function itself gives."""
        return self.fn(query, k)

    @property
    def __wrapped__(self) -> Callable[[str, int], Any]:
        """The function: an artifact finds the retriever by its import path and calls this."""
        return self.fn

    @property
    def most(self) -> None:
        """Nothing limits how many texts it may be asked for."""

    def find(self, b: Builder, name: str, query: tuple[Ref, ...], k: int) -> Ref:
        """A Host node for the function, and the text of what it finds."""
        with b.within(name):
            wanted, cap = b.const("k", k), b.const("cap", self.cap)
            asked = compute(b, "query", query_text, *query)
            attrs = Host(self.target, source_hash(self.fn), self.pure, None, self.fn)
            found = b.add(Op.HOST, "search", attrs, (asked, wanted), Type("value", many=True))
            return compute(b, "text", found_text, found, wanted, cap, cap=k * (self.cap + LINE) + LINE)

    def __str__(self) -> str:
        return f"{self.target} {source_hash(self.fn)[:12]}"


def retriever(search: Any = None, *, at: str = "", cap: int = CAP, pure: bool = True) -> Any:
    """Make a retriever of a function `search(query: str, k: int) -> list[str]`, or of an object with that method.

    A function is decorated with it at the top level of a module, so that an artifact finds it again. An object is
    wrapped there and named by where it is: `library = fw.retriever(Library(), at="my_module:library")`; without `at`
    it serves pipelines of this process alone, which cannot be saved.

    Args:
        search: The function or the object.
        at: Import path of the retriever, needed for an object only.
        cap: Most tokens of each text that it gives; what is longer is cut.
        pure: Same arguments, same result, no effects. An impure one is never replayed or run in a search unless
            `compile(..., allow_impure=True)` says so.

    Raises:
        SignatureError: It is neither, or `cap >= 1` does not hold.
        TraceError: Its source cannot be read.
    """
    if search is None:
        return lambda inner: retriever(inner, at=at, cap=cap, pure=pure)
    check_whole("retriever", "cap", cap, 1)
    fn: Any = search if hasattr(search, "__qualname__") and callable(search) else getattr(search, "search", None)
    if isinstance(search, type) or not callable(fn):
        raise SignatureError(
            f"retriever: a function `search(query, k)` or an object with such a method is needed, but got "
            f"{search!r:.100}; a class must be an instance"
        )
    source_hash(fn)
    try:
        # Artifacts name host functions by import path; only one that was marked here is ever called from there.
        getattr(fn, "__func__", fn).__flopwise_op__ = True
    except AttributeError as error:
        raise TraceError(
            f"retriever: {fn!r:.100} cannot be marked ({error}); write a plain function around it"
        ) from None
    return Retriever(fn, at or _target(search, fn), cap, pure)


def _target(search: Any, fn: Any) -> str:
    """A function's import path; of an object one that no artifact can be saved with."""
    if fn is search and not hasattr(fn, "__self__"):
        return f"{fn.__module__}:{fn.__qualname__}"
    return f"{type(search).__module__}:<{type(search).__name__}>.search"
