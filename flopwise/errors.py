"""Every error flopwise raises on purpose. Each states the rule, the value, the place and the next step."""

from __future__ import annotations

from typing import Any, Self


class FlopwiseError(Exception):
    """Base of all errors that flopwise raises on purpose.

    Attributes:
        partial: Where a batch was broken off by it: each row's result, None for those that had not ended.
    """

    partial: tuple[Any, ...] = ()


class SignatureError(FlopwiseError):
    """A signature, field or type that cannot be declared."""


class InputError(FlopwiseError):
    """An input record with an unknown, missing, mistyped or over-long field."""


class TraceError(FlopwiseError):
    """A program that cannot be traced: ordinary control flow over a symbol, a duplicate name."""


class GraphError(FlopwiseError):
    """An illegal graph: found by the spec, named by node."""


class ConfigError(FlopwiseError):
    """An assignment of choices that does not fit the space."""


class DataError(FlopwiseError):
    """A data set that cannot be used: empty, mistyped, or sharing examples with another split."""


class MetricError(FlopwiseError):
    """A metric that raised or returned something that is not a score."""


class BudgetError(FlopwiseError):
    """A budget that is malformed, too small, or used up."""


class EngineError(FlopwiseError):
    """An engine that cannot be made, has died, or refused a request.

    Attributes:
        worked: True where the engine may have computed the request in vain, as at a deadline: its bound is charged.
    """

    worked: bool = False

    def in_vain(self) -> Self:
        """The same error, of a request that the engine may have computed."""
        self.worked = True
        return self


class EngineUnavailable(EngineError):
    """A passing fault of an engine: the same request may succeed later."""


class WeightsError(FlopwiseError):
    """Model weights that are unknown, broken off, or have the wrong bytes."""


class SandboxError(FlopwiseError):
    """The sandbox cannot be set up on this machine; model-written code is never run without it."""


class ToolError(FlopwiseError):
    """A server of tools that cannot be reached or has died."""


class ArtifactError(FlopwiseError):
    """An artifact that is damaged, from a newer version, or does not fit the engine."""


class StudyError(FlopwiseError):
    """A stored study that does not belong to this program, data or budget."""


class PipelineFailure(FlopwiseError):
    """A query that ended without a record. `trace` says what was asked, answered and spent."""

    def __init__(self, message: str, trace: object = None) -> None:
        super().__init__(message)
        self.trace = trace
