"""Records of a signature's class from the values a run gave."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from ..errors import PipelineFailure
from ..ir.record import Trace
from .signature import Signature

S = TypeVar("S", bound=Signature)


def make_record(cls: type[S], fields: Mapping[str, Any], trace: Trace) -> S:
    """An instance of the class: enums and nested models become the user's own types.

    Raises:
        PipelineFailure: A validator of the class refuses the values, or raises anything else.
    """
    try:
        whole = _required(cls) <= fields.keys()
        record = cls.model_validate(dict(fields)) if whole else cls.model_construct(**fields)
    except ValidationError as error:
        raise PipelineFailure(f"{cls.__name__} refuses the outputs: {error}", trace) from None
    except Exception as error:  # a user's validator may raise anything; the batch goes on
        raise PipelineFailure(
            f"{cls.__name__} refuses the outputs: its validator raised {type(error).__name__}: {error}", trace
        ) from error
    record._trace = trace
    return cast(S, record)


@lru_cache(maxsize=256)
def _required(cls: type[Signature]) -> frozenset[str]:
    return frozenset(name for name, field in cls.model_fields.items() if field.is_required())
