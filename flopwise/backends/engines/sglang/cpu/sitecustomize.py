"""Run by Python at its start, in the server and in each process it starts: makes torchvision importable on a CPU.

torchvision's compiled half is built for CUDA and does not load beside a CPU build of torch; its Python half then fails
to import, since it describes two operators that nobody has defined. SGLang imports it for models that see pictures;
nothing here calls the operators, so that their declarations are enough.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

_OPERATORS = ("nms", "qnms")
_ARGUMENTS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class _BeforeTorchvision(MetaPathFinder):
    """Declares the operators once torchvision is asked for; finds nothing itself."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            _declare()


def _declare() -> None:
    import torch

    if torch.version.cuda is None:  # else torchvision's own half loads and defines them
        for operator in _OPERATORS:
            torch.library.define(f"torchvision::{operator}", _ARGUMENTS)


sys.meta_path.insert(0, _BeforeTorchvision())
