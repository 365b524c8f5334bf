"""Records of a signature's class from the values a run gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from ..errors import PipelineFailure
from ..ir.record import Trace
from .signature import Signature

S = TypeVar("S", bound=Signature)


def make_record(cls: type[S], fields: Mapping[str, Any], trace: Trace) -> S:
    """An instance of the class: enums and nested models become the user's own types.

    Raises:
        PipelineFailure: A validator of the class refuses the values.
    """
    missing = [n for n, f in cls.model_fields.items() if f.is_required() and n not in fields]
    try:
        record = cls.model_construct(**fields) if missing else cls.model_validate(dict(fields))
    except ValidationError as error:
        raise PipelineFailure(f"{cls.__name__} refuses the outputs: {error}", trace) from None
    record._trace = trace
    return cast(S, record)
