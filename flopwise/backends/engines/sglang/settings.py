"""How the SGLang engine talks to a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ....errors import EngineError


@dataclass(frozen=True, slots=True)
class SGLangSettings:
    """How the engine talks to a server.

    Attributes:
        tokenizer: Folder with the model's `config.json` and `tokenizer.json`, or its id on a model hub; None asks the
            server where it has read them from.
        flops_per_token: FLOPs of a token, prefilled or decoded, as a number or a text such as "3 GFLOP"; None counts
            them from the model's shape.
        in_flight: Most requests under way at once; None goes by what the server runs at once.
        deadline_s: Seconds within which a request must be answered, its time in the server's queue included.
        reconnect_s: Seconds that a server which has gone away is waited for.
        token: What the server was given as `--api-key`, if anything.
    """

    tokenizer: str | Path | None = None
    flops_per_token: float | str | None = None
    in_flight: int | None = None
    deadline_s: float = 600.0
    reconnect_s: float = 120.0
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("in_flight", 1), ("deadline_s", 0), ("reconnect_s", 0)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and value >= least and value == value):
                raise EngineError(f"engine sglang: {name} must be a number of {least} or more, but got {value!r}")
