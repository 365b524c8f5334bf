"""Methods of prompting: one answer by one or several calls."""

from __future__ import annotations

from typing import Any

import flopwise as fw

from ._method import REASON, Given, Method, thought

_PAIR = ("gsm8k", "date_understanding")
_LOGIC = ("web_of_lies", "coin_flip")
_READING = ("facts_one_hop", "facts_two_hops")


def _curated(given: Given) -> Any:
    """A sheet that the model makes of eight worked examples of train."""
    reasoned = [*given.demos, *given.rows[0][20:24]]
    sheet = fw.curate(given.of, reasoned, engine=given.engine, bank=given.bank, max_tokens=REASON)
    given.notes["cheatsheet"] = sheet.text
    given.notes["curating_flops"] = sheet.flops
    return fw.Cheatsheet(given.of, demos=(), max_tokens=REASON, memory=sheet.text)


def _pool(given: Given) -> Any:
    programs = fw.ProgramOfThought(given.of, demos=(), max_tokens=REASON)
    return fw.MetaReasoning(
        given.of,
        methods=(thought(given), programs),
        descriptions=(
            "Reasons in words, step by step: for facts, common sense and logic.",
            "Writes a Python program and runs it: for calculations, counting and dates.",
        ),
    )


def _simple(module: Any, **settings: Any) -> Any:
    return lambda given: module(given.of, demos=(), max_tokens=REASON, **settings)


PROMPTING = (
    Method(
        "Predict", _simple(fw.Predict), ("multiarith", "web_of_lies", *_READING, "list_rules", "word_rules"), tokens=20
    ),
    Method("ChainOfThought", thought, ("multiarith", "web_of_lies", *_READING, "list_rules", "word_rules"), tokens=180),
    Method("PlanAndSolve+", _simple(fw.PlanAndSolve, style="ps+"), _PAIR, tokens=250),
    Method("PlanThenSolve", _simple(fw.PlanThenSolve), _PAIR, tokens=400),
    Method("ReRead", _simple(fw.ReRead), _PAIR, tokens=180),
    Method("StepBack", _simple(fw.StepBack), _PAIR, tokens=450),
    Method("Abstraction", _simple(fw.Abstraction), ("gsm8k", "multiarith"), "placeholders filled by a program", 250),
    Method("Organize", _simple(fw.Organize), _READING, tokens=300),
    Method("EvidenceToGenerate", _simple(fw.EvidenceToGenerate), _READING, tokens=250),
    Method("Exclusion", _simple(fw.Exclusion), ("date_understanding", "web_of_lies"), tokens=180),
    Method("CriticalQuestions", _simple(fw.CriticalQuestions, rounds=2), _LOGIC, "2 checks at most", 700),
    Method(
        "DiagramOfThought",
        lambda g: fw.DiagramOfThought(g.of, max_tokens=96, rounds=4),
        _LOGIC,
        "4 propositions of 96 tokens",
        700,
    ),
    Method(
        "PlanAndBudget",
        lambda g: fw.PlanAndBudget(g.of, demos=(), max_tokens=128, budget=512, tiers=(64, 128, 256), most=4),
        _PAIR,
        "512 tokens for at most 4 sub-questions",
        550,
    ),
    Method("AdaptivePrompt", _simple(fw.AdaptivePrompt), _PAIR, tokens=700),
    Method(
        "ThinkSum",
        lambda g: fw.ThinkSum(g.of, max_tokens=64),
        ("coin_flip", "web_of_lies"),
        "64 tokens for each of 3 aspects and 2 options",
        380,
    ),
    Method("MetaReasoning", _pool, ("gsm8k", "coin_flip"), "2 methods: in words, by a program", 180),
    Method("NaturalProgram", _simple(fw.NaturalProgram), ("gsm8k", "web_of_lies"), "no worked examples", 256),
    Method(
        "NeuroSymbolic", _simple(fw.NeuroSymbolic, repairs=1), _LOGIC, "1 repair of the paper's 3, no examples", 500
    ),
    Method(
        "HypothesisSearch",
        lambda g: fw.HypothesisSearch(g.of, n=5, keep=2, repairs=1, max_tokens=192),
        ("list_rules", "word_rules"),
        "5 hypotheses, 2 programs, 1 repair",
        700,
    ),
    Method(
        "Medprompt",
        lambda g: fw.Medprompt(g.of, n=5, demos=g.demos, max_tokens=REASON),
        ("date_understanding", "web_of_lies"),
        "4 fixed examples in place of the 5 nearest",
        900,
    ),
    Method(
        "Cheatsheet, curated", _curated, ("gsm8k", "coin_flip"), f"one sheet of {REASON} tokens, made of train", 180
    ),
    Method(
        "Cheatsheet, retrieved",
        lambda g: fw.Cheatsheet(g.of, demos=(), max_tokens=REASON, memory=fw.solved(g.of, g.rows[0][:50]), k=3),
        _PAIR,
        "the 3 nearest of 50 solved ones, found by words",
        180,
    ),
)
