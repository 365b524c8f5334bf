"""Points of the artifact's front, chosen by a request: each is lowered once and kept while it is in use."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import FlopwiseError
from ..pipeline import Pipeline
from .problems import Refused

_MOST_KEPT = 16  # choices whose pipelines are kept, the last used ones
_MOST_COMING = 4  # choices that may be under preparation at once: lowering takes processor time from queries

AnyPipeline = Pipeline[..., Any]
Choice = tuple[tuple[str, Any], ...]


class Points:
    """The pipelines that requests can ask for.

    Args:
        pipeline: What answers a request that chooses nothing; the others share its scheduler.
    """

    def __init__(self, pipeline: AnyPipeline) -> None:
        self.pipeline = pipeline
        self._kept: OrderedDict[Choice, AnyPipeline] = OrderedDict()
        self._coming: dict[Choice, asyncio.Task[AnyPipeline]] = {}
        self._pool = ThreadPoolExecutor(1, "flopwise-points")  # one at a time, beside the event loop

    @property
    def numbers(self) -> list[int]:
        """Numbers of the points, the cheapest first."""
        return [p.number for p in self.pipeline.front if p.number in self.pipeline.points]

    def models(self, name: str) -> list[str]:
        """Ids for OpenAI's clients: the pipeline's name, and `NAME:NUMBER` of each point."""
        return [name, *(f"{name}:{number}" for number in self.numbers)]

    async def choose(self, at: Mapping[str, Any] | None) -> AnyPipeline:
        """The pipeline for a request's `at`.

        Args:
            at: `point`, a number of the front; or `per_query`, `mean` and `score` and limits on objectives, as
                `Pipeline.at` takes them. None or an empty one for the artifact's own.

        Raises:
            Refused: There is no such point, or too many choices are under preparation.
        """
        if not at:
            return self.pipeline
        choice: Choice = tuple(sorted(at.items()))
        if choice in self._kept:
            self._kept.move_to_end(choice)
            return self._kept[choice]
        if choice not in self._coming:
            if len(self._coming) >= _MOST_COMING:
                raise Refused("overloaded", "too many points of the front are under preparation")
            self._coming[choice] = asyncio.create_task(self._prepare(choice))
        # Shielded: others wait for the same.
        return await asyncio.shield(self._coming[choice])

    async def _prepare(self, choice: Choice) -> AnyPipeline:
        try:
            made = await asyncio.get_running_loop().run_in_executor(self._pool, self._made, dict(choice))
        except FlopwiseError as error:
            raise Refused("no_such_point", str(error), "at") from None
        finally:
            del self._coming[choice]
        self._kept[choice] = made
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return made

    def _made(self, at: dict[str, Any]) -> AnyPipeline:
        number = at.pop("point", None)
        if number is None:
            return self.pipeline.at(**at)
        if at:
            raise FlopwiseError("`point` names one point of the front, so it stands alone in `at`")
        point = next((p for p in self.pipeline.front if p.number == number), None)
        if point is None:
            raise FlopwiseError(f"the front has no point {number}")
        return self.pipeline.at(point)

    def close(self) -> None:
        """Give back what the pipelines hold."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for pipeline in (self.pipeline, *self._kept.values()):
            pipeline.close()


def number_of(pipeline: AnyPipeline) -> int | None:
    """The number of a pipeline's config among those that its search tried."""
    number: int | None = pipeline.report.get("chosen")
    return number
