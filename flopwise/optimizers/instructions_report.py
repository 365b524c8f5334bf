"""What a report says of instructions: which were proposed, how each fared, and where the winner's come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..ir.choices import Instructions
from ..modules.seeds import seeds
from .stats import interval

if TYPE_CHECKING:
    from .contenders import Contenders
    from .evaluate import Entrant
    from .instructions import Proposal, Proposer
    from .instructions_sites import Site


def instructions_report(proposer: Proposer, contenders: Contenders, winner: Entrant) -> dict[str, Any]:
    """The report's part on instructions; empty where the program leaves none open.

    `winner` has the text of each instruction choice and its origin, `proposed` a row for each text that filled a slot,
    `dropped` those that were not let in and why, `notes` what else there is to say.
    """
    open_ones = {k: v.domain for k, v in contenders.space.variables.items() if isinstance(v.domain, Instructions)}
    if not open_ones:
        return {}
    stages = proposer.stages.items()
    proposed = [p for _, stage in stages for p in stage.proposed]
    return {
        "winner": [
            {"choice": name, "text": text, "origin": _origin(name, str(text), proposer, proposed)}
            for name, text in winner.config.items()
            if name in open_ones
        ],
        "proposed": [{**asdict(p), "shown": list(p.shown), **_fared(p, contenders)} for p in proposed],
        "dropped": [
            {"choice": choice, "stage": name, "why": why, "text": text}
            for name, stage in stages
            for choice, why, text in stage.dropped
        ],
        "notes": [{"stage": name, "note": note} for name, stage in stages for note in stage.notes],
    }


def _fared(proposal: Proposal, contenders: Contenders) -> Mapping[str, Any]:
    """How many configs had the text, and the dev score of the best of them."""
    tried = [e for e in contenders.entrants.values() if e.config.get(proposal.choice) == proposal.text]
    scores = [contenders.table.scores(e.key) for e in tried]
    best = max(filter(None, scores), key=lambda s: (interval(s).low, len(s)), default=None)
    return {"configs": len(tried), "score": asdict(interval(best)) if best else None}


def _origin(choice: str, text: str, proposer: Proposer, proposed: list[Proposal]) -> str:
    """Where a text came from, in words."""
    for proposal in proposed:
        if (proposal.choice, proposal.text) == (choice, text):
            count = len(proposal.shown)
            if proposal.stage == "grounded":
                return f"proposed by the model from the program and {count} train examples"
            return f"proposed by the model from {count} train examples on which the leading config failed"
    site = next((s for s in proposer.open if s.choice == choice), None)
    return "given in the program" if site is None else _begun(site, text)


def _begun(site: Site, text: str) -> str:
    if text == site.own:
        return "the signature's own"
    return "the bank of seeds" if text in seeds(site.own, site.technique) else "given in the program"
