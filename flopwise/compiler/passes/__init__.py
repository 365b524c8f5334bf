"""The passes, in order. Each is a function `Graph -> Graph` in a file of its name; a region's body counts as a graph.

`specialise` comes first and takes the config; the rest follow in `PASSES`.
"""

from __future__ import annotations

from collections.abc import Callable

from ...ir.graph import Graph
from .constrain_outputs import constrain_outputs
from .continue_turn import continue_turn
from .drop_dead import drop_dead
from .expand_modules import expand_modules
from .fold_constants import fold_constants
from .fuse_turns import fuse_turns
from .merge_identical import merge_identical
from .merge_samples import merge_samples
from .settle_waves import settle_waves
from .share_prefix import share_prefix
from .specialise import specialise

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    fuse_turns,
    expand_modules,
    fold_constants,
    drop_dead,
    merge_identical,
    merge_samples,
    settle_waves,
    continue_turn,
    share_prefix,
    constrain_outputs,
)

__all__ = ["PASSES", "Pass", "specialise"]
