"""Questions about a small made-up world, one passage or two of which answer each: for documents and long contexts.

Companies, towns and people are invented, so that nothing is known beforehand. The world and the questions are made of
fixed seeds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import flopwise as fw

from ..tasks import Rows, Splits


def _names(listed: str) -> list[str]:
    return listed.split(", ")


_PEOPLE = _names(
    "Ada Brandt, Bela Corvin, Cleo Duval, Dario Esposito, Edda Falk, Farid Ghanem, Greta Holm, Hugo Ibarra, Ines "
    "Jansen, Jonas Keller, Kira Lindt, Luca Moretti, Mina Novak, Nils Olsen, Oona Pavlov, Pia Quist, Rafa Soler, "
    "Sena Toprak, Timo Ulrich, Vera Weiss, Yara Zaki, Aldo Bianchi, Britt Carlsen, Cyril Dumas, Delia Engel, Emil "
    "Frost, Fanny Grau, Goran Hadzic, Hanna Ilves, Ivan Juric, Jette Krogh, Karim Lahlou"
)
_COMPANIES = _names(
    "Arvolt, Belmira, Corvane, Dexhall, Elmora, Fintrel, Gorvik, Halvane, Istria Glass, Jorvex, Kelmont, Lunaris, "
    "Morvane, Nexford, Orvalle, Pellworth"
)
_TOWNS = _names("Ashbrook, Bramley, Corwick, Dunmore, Elstead, Farnham, Grantley, Hexworth")
_MAKES = _names("pumps, lamps, violins, bicycles, clocks, ovens, sails, printers")
_SHOWN = 8  # passages in a context


class Ask(fw.Signature):
    """Answer the question from the context."""

    question: str = fw.Input()
    context: str = fw.Input(desc="passages, some of which help")
    answer: str = fw.Output(desc="a name, a year or a thing, with no other words")


class Look(fw.Signature):
    """Answer the question from documents."""

    question: str = fw.Input()
    answer: str = fw.Output(desc="a name, a year or a thing, with no other words")


@cache
def world() -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """People, companies and towns, each by name with what is so of it."""
    rng = random.Random(7)
    towns = {t: {"mayor": p, "founded": rng.randrange(1100, 1700)} for t, p in zip(_TOWNS, _PEOPLE, strict=False)}
    companies = {
        c: {"town": _TOWNS[i % len(_TOWNS)], "makes": rng.choice(_MAKES), "founded": rng.randrange(1900, 2015)}
        for i, c in enumerate(rng.sample(_COMPANIES, len(_COMPANIES)))
    }
    workers = _PEOPLE[len(_TOWNS) :]
    people = {p: {"company": rng.choice(_COMPANIES), "joined": rng.randrange(2015, 2024)} for p in workers}
    return people, companies, towns


@cache
def passages() -> dict[str, str]:
    """The passage of each person, company and town."""
    people, companies, towns = world()
    told = {p: f"{p} works for {f['company']} since {f['joined']}." for p, f in people.items()}
    for name, f in companies.items():
        told[name] = (
            f"{name} is a company that makes {f['makes']}. "
            f"It was founded in {f['founded']}; its head office is in {f['town']}."
        )
    for name, f in towns.items():
        told[name] = f"{name} is a town that was founded in {f['founded']}. Its mayor is {f['mayor']}."
    return told


def _one_hop() -> list[tuple[str, Any, tuple[str, ...]]]:
    people, companies, towns = world()
    asked: list[tuple[str, Any, tuple[str, ...]]]
    asked = [(f"Since which year does {p} work for {f['company']}?", f["joined"], (p,)) for p, f in people.items()]
    asked += [(f"For which company does {p} work?", f["company"], (p,)) for p, f in people.items()]
    asked += [(f"In which town is the head office of {c}?", f["town"], (c,)) for c, f in companies.items()]
    asked += [(f"What does the company {c} make?", f["makes"], (c,)) for c, f in companies.items()]
    asked += [(f"Who is the mayor of {t}?", f["mayor"], (t,)) for t, f in towns.items()]
    return asked


def _two_hops() -> list[tuple[str, Any, tuple[str, ...]]]:
    people, companies, towns = world()
    asked: list[tuple[str, Any, tuple[str, ...]]] = []
    for p, f in people.items():
        company = companies[f["company"]]
        used = (p, f["company"])
        asked.append((f"In which town is the head office of the company that {p} works for?", company["town"], used))
        asked.append((f"What does the company make that {p} works for?", company["makes"], used))
    for c, f in companies.items():
        mayor = towns[f["town"]]["mayor"]
        asked.append((f"Who is the mayor of the town with the head office of {c}?", mayor, (c, f["town"])))
        founded = towns[f["town"]]["founded"]
        asked.append((f"In which year was the town founded that has the head office of {c}?", founded, (c, f["town"])))
    return asked


def _split(make: Callable[[], list[tuple[str, Any, tuple[str, ...]]]]) -> Splits:
    rng, told = random.Random(11), passages()
    asked = make()
    rng.shuffle(asked)
    found: Rows = []
    for question, answer, used in asked:
        others = rng.sample([name for name in told if name not in used], _SHOWN - len(used))
        names = rng.sample([*used, *others], _SHOWN)
        context = "\n".join(told[name] for name in names)
        found.append({"question": question, "context": context, "answer": str(answer)})
    return found[:20], found[20:30], found[30:80]


def one_hop() -> Splits:
    """Questions that one passage answers: 20 to train, 10 dev, 50 to test."""
    return _split(_one_hop)


def two_hops() -> Splits:
    """Questions that take two passages."""
    return _split(_two_hops)


@fw.op
def look_up(name: str) -> str:
    """What is known of a person, a company or a town of that name."""
    return passages().get(name.strip(), f"nothing is known of {name!r}; give a full name")
