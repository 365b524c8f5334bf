"""The lowered graph: prompts as token ids with slots, and static bounds in FLOPs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .engines import ByEngine
from .flops import format_flops
from .graph import Graph
from .prompt import Ref
from .request import TokenIds
from .target import ModelInfo


@dataclass(frozen=True, slots=True)
class Static:
    """Token ids known when the plan is lowered."""

    ids: TokenIds


@dataclass(frozen=True, slots=True)
class Fill:
    """A slot: the text of a value between `lead` and `tail`, at most `cap` tokens.

    `given` marks an input of the caller: too long a text is refused unless `truncate` says otherwise.
    """

    ref: Ref
    cap: int
    truncate: bool
    lead: str = ""
    given: str = ""
    tail: str = field(default="", repr=False)  # the hash of a plan has it from the graph


@dataclass(frozen=True, slots=True)
class Carry:
    """The token ids of an earlier generation's prompt and output."""

    ref: Ref


Piece = Static | Fill | Carry
SEAM = 1  # tokens that a text and its tail may have more than the two apart: "\n\n" is one, or one and one


@dataclass(frozen=True, slots=True)
class PromptPlan:
    """A prompt as it will be sent.

    Attributes:
        engine: The name of the engine whose ids these are; None is the main one.
        pieces: Ids, slots and carried generations, in order.
        most: Most tokens it can have.
        static: Leading tokens that are the same in every run.
    """

    pieces: tuple[Piece, ...]
    most: int
    static: int
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """Static bounds of one node in FLOPs, in steady state (static prefixes resident).

    Attributes:
        least: What must be there before the node starts.
        worst: The most it can take.
        trips: For a region, the bound of each trip in order (the last one repeats); what it takes before
            further trips ask for fuel.
        again: For a request, its bound where the same prompt was sent before in this query.
        carry: For a repeat, what each trip's result costs later, in the regions that map over it.
    """

    least: float
    worst: float
    trips: tuple[float, ...] = ()
    again: float = 0.0
    carry: float = 0.0

    def trip(self, index: int) -> float:
        """The bound of trip `index`."""
        return self.trips[min(index, len(self.trips) - 1)] if self.trips else 0.0


@dataclass(frozen=True)
class Plan:
    """What an engine will be asked for one query, at most.

    Attributes:
        graph: The specialised, expanded and optimised graph.
        prompts: The prompt of each Generate and Score node, by full dotted name.
        bounds: The bounds of each node, by full dotted name.
        streams: Seed namespace of each sampled node.
        models: What is known of the model of each engine that it asks, the main one always among them.
        caps: Most tokens of each input field.
        least: FLOPs without which no query can run.
        worst: FLOPs no query can exceed, whatever the cap.
        cold: FLOPs to prefill the static prefixes once.
        cap: FLOPs allowed per query; None for no cap.
    """

    graph: Graph
    prompts: Mapping[str, PromptPlan]
    bounds: Mapping[str, Bound]
    streams: Mapping[str, str]
    models: ByEngine[ModelInfo]
    caps: Mapping[str, int]
    least: float
    worst: float
    cold: float
    cap: float | None = None

    @property
    def model(self) -> str:
        """Name of the main engine's model."""
        return self.models.main.name

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the main engine's model."""
        return self.models.main.fingerprint

    @property
    def bound(self) -> float:
        """FLOPs that no query exceeds: the worst case, or the cap where that is lower."""
        return self.worst if self.cap is None else min(self.worst, self.cap)

    def cost(self) -> dict[str, float]:
        """FLOPs: `least`, `worst`, `bound` per query in steady state, and `cold` once."""
        return {"least": self.least, "worst": self.worst, "bound": self.bound, "cold": self.cold}

    def bounds_by_node(self) -> dict[str, dict[str, float]]:
        """The bounds of each node that costs anything, by full dotted name, as plain data.

        `least` and `worst` are FLOPs; of a request, `prompt` is the most tokens of its prompt, `static` how many of
        them are the same in every run.
        """
        return {
            name: {"least": bound.least, "worst": bound.worst, **_prompt_size(self.prompts.get(name))}
            for name, bound in self.bounds.items()
        }

    @property
    def hash(self) -> str:
        """Hash of what will be sent: the graph and every prompt's ids."""
        import hashlib

        prompts = {name: repr(p.pieces) for name, p in sorted(self.prompts.items())}
        return hashlib.sha256(f"{self.graph.hash}{prompts}".encode()).hexdigest()

    def as_text(self) -> str:
        """The plan for people: one line a request with its prompt's size and bound."""
        others = "".join(f", {name} on {model.name}" for name, model in self.models.named.items())
        lines = [f"plan {self.graph.name} on {self.model}{others}: at most {format_flops(self.bound)} a query"]
        least, worst, cold = (format_flops(f) for f in (self.least, self.worst, self.cold))
        lines.append(f"  least {least}, worst {worst}; cold {cold}")
        for name, bound in self.bounds.items():
            prompt = self.prompts.get(name)
            size = f" prompt <= {prompt.most} tokens ({prompt.static} static)" if prompt else ""
            trips = f" trips {', '.join(format_flops(t) for t in bound.trips)}" if bound.trips else ""
            if prompt or bound.trips:
                lines.append(f"  {name}:{size} <= {format_flops(bound.worst)}{trips}")
        return "\n".join(lines)


def _prompt_size(prompt: PromptPlan | None) -> dict[str, float]:
    return {"prompt": prompt.most, "static": prompt.static} if prompt is not None else {}
