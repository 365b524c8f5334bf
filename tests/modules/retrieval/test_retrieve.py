"""Retrieve and RetrieveThenRead: what is found stands in the reader's prompt, from an index or a user's retriever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flopwise as fw
from flopwise.errors import ArtifactError, SignatureError, TraceError
from flopwise.indexing import documents
from flopwise.ir.flops import FlatCost
from flopwise.ir.nodes import Loop, Op
from flopwise.ir.record import Failure, Values
from flopwise.modules.retrieval.documents import Documents
from flopwise.modules.retrieval.retrieve import Retrieve, RetrieveThenRead
from flopwise.modules.retrieval.retriever import Retriever, retriever

from ...programs import SHAPE, Ready, ready
from ..expansion import check_expansion

ROOT = Path(__file__).parents[3]
TEXTS = ["Ada has two cats.", "Bob has a boat.", "Cleo keeps three birds.", "Dan sells tea. " * 9]
DOCS = documents(TEXTS)
READ = "context, question -> answer: int"


def reading(source: Any = DOCS, k: Any = 2, reader: Any = None, **settings: Any) -> Any:
    return RetrieveThenRead(reader or fw.Predict(READ), documents=source, k=k, **settings)


def context(pipeline: Ready, question: str) -> str:
    """What stood in the reader's prompt as its context."""
    ((_, text),) = pipeline.run(question=question).trace.prompts()
    return text.split("Context: ")[1].split("\nQuestion: ")[0]


def test_the_docstrings_show_what_they_expand_to() -> None:
    docs = documents(TEXTS[:3])
    check_expansion(Retrieve("question -> context", documents=docs, k=2))
    check_expansion(reading(docs, name="rag"))


# an index ---------------------------------------------------------------------------------------------------


def test_the_nearest_passages_stand_in_the_prompt_the_nearest_last() -> None:
    pipeline = ready(reading(documents(TEXTS[:3])))
    assert context(pipeline, "How many cats has Ada?") == "[1] Bob has a boat.\n[2] Ada has two cats."
    assert context(pipeline, "Which birds does Cleo keep?").endswith("\n[2] Cleo keeps three birds.")
    assert context(ready(reading(k=1)), "Has Bob a boat?") == "[1] Bob has a boat."


def test_the_record_has_what_was_found_and_the_trace_its_ids() -> None:
    run = ready(reading(), "7").run(question="Ada's cats?")
    assert isinstance(run.result, Values)
    assert run.result.fields["answer"] == 7
    assert run.result.fields["context"].endswith("[2] Ada has two cats.")
    assert [len(r.ids) for r in run.trace.retrieved] == [2] and run.trace.retrieved[0].ids[-1] == "0"


def test_any_reader_will_do_and_its_other_inputs_are_searched_by() -> None:
    reader = fw.ChainOfThought("notes, who, what -> reply, sure: bool", max_tokens=20)
    pipeline = ready(reading(reader=reader, into="notes", k=1), {"as JSON:": '{"reply": "x", "sure": true}', "": "so"})
    run = pipeline.run(who="Cleo", what="birds")
    assert isinstance(run.result, Values)
    assert run.result.fields["notes"] == "[1] Cleo keeps three birds."
    assert (run.result.fields["reply"], run.result.fields["sure"]) == ("x", True)


def test_how_many_is_a_choice_like_any_other() -> None:
    module = reading(k=fw.integer(1, 3), name="rag")
    for k in (1, 3):
        assert context(ready(module, config={"rag.k": k}), "Ada's cats?").count("[") == k
    with pytest.raises(SignatureError, match=r"RetrieveThenRead: a whole number `1 <= k <= 3` is needed"):
        reading(k=fw.integer(1, 4))


@pytest.mark.parametrize("k", [0, 4, True, "2", None, 1.5])
def test_a_k_that_is_none_is_refused(k: Any) -> None:
    with pytest.raises(SignatureError, match="1 <= k <= 3"):
        reading(k=k)


@pytest.mark.parametrize("source", [None, "text", TEXTS, Documents, 7])
def test_what_is_no_source_is_refused(source: Any) -> None:
    with pytest.raises(SignatureError, match="is needed"):
        reading(source)


def test_signatures_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SignatureError, match=r"needs the input 'context'.*it has question"):
        reading(reader=fw.Predict("question -> answer"))
    with pytest.raises(SignatureError, match="needs the input 'context'"):
        reading(reader=fw.Predict("context -> answer"))
    with pytest.raises(TraceError, match="a module is needed"):
        RetrieveThenRead("context, question -> answer", documents=DOCS)  # type: ignore[arg-type]
    for of in ("question -> n: int", "question -> a, b", "-> context"):
        with pytest.raises(SignatureError, match="one output of type str"):
            Retrieve(of, documents=DOCS)


# bounds -----------------------------------------------------------------------------------------------------


def priced(flops: float) -> Documents:
    return Documents(DOCS.passages, DOCS.embedder, lambda *args: replace(DOCS.embed(*args), flops=flops))


def test_embedding_the_query_is_in_the_bound() -> None:
    free, dear = (ready(reading(priced(flops))).plan for flops in (0.0, 5e5))
    assert dear.worst == free.worst + 5e5 and dear.least == free.least + 5e5


def test_the_prompt_is_bounded_by_the_longest_passages_not_by_a_guess() -> None:
    short, long = (ready(reading(documents(texts), k=1)).plan for texts in (TEXTS[:3], TEXTS))
    longest = [max(map(len, texts)) for texts in (TEXTS[:3], [t.strip() for t in TEXTS])]
    assert long.worst - short.worst == longest[1] - longest[0]  # a token a byte, a FLOP a token


def wild(query: str, k: int) -> Any:
    """A retriever that gives whatever its query asks for."""
    given_: dict[str, Any] = {
        "many": ["word"] * 99,
        "long": ["word " * 500] * 9,
        "none": [],
        "odd": 7,
        "bad": ["\ud800"],
    }
    return given_.get(query, [query])


CALLS: list[str] = []


def restless(query: str, k: int) -> list[str]:
    """A retriever that says that it is pure and finds something else each time."""
    CALLS.append(query)
    return [f"{len(CALLS)} " + "word " * (len(CALLS) % 30)] * k


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([DOCS, priced(1e3), retriever(wild, cap=20), retriever(restless, cap=20)]),
    st.integers(1, 3),
    st.sampled_from(["many", "long", "none", "odd", "bad", "Ada's cats?", "", "x" * 60, TEXTS[0]]),
    st.sampled_from([SHAPE, FlatCost(1.0)]),
    st.sampled_from([1, 7, 32]),
    st.sampled_from([1, 3]),
)
def test_no_run_exceeds_its_bound(source: Any, k: int, question: str, cost: Any, block: int, n: int) -> None:
    class Voting(fw.Program):
        read = reading(source, k, fw.ChainOfThought(READ, max_tokens=9))

        def forward(self, question: str) -> Any:
            return fw.vote(fw.sample(self.read, n=n, temperature=0.7)(question=question), field="answer")

    script = {"Answer:": lambda prompt, i: "3" * (9 + 90 * (i % 2)), "": "ramble " * 30}
    pipeline = ready(Voting(), script, cost=cost, block=block, caps={"question": 60})
    run = pipeline.run(question=question)
    assert run.trace.flops <= pipeline.plan.bound * (1 + 1e-12)
    for asked in run.trace.requests:
        assert len(asked.ids) <= pipeline.plan.prompts[asked.node].most


def test_samples_that_find_the_same_pay_for_their_prompt_once() -> None:
    class Voting(fw.Program):
        read = reading(k=3, reader=fw.Predict(READ, temperature=0.5))

        def forward(self, question: str) -> Any:
            return fw.vote(fw.sample(self.read, n=4)(question=question), field="answer")

    plan = ready(Voting(), "7", caps={"question": 60}).plan
    (region,) = (n.name for n in plan.graph.nodes if isinstance(n.attrs, Loop))
    bound = next(b for name, b in plan.bounds.items() if name.startswith(f"{region}/") and name.endswith("answer"))
    assert bound.again < bound.worst / 5


# a retriever of the user's own ------------------------------------------------------------------------------


def lookup(query: str, k: int) -> list[str]:
    return [f"{query} best", f"{query} good", f"{query} poor"]


class Library:
    def __init__(self, shelf: str) -> None:
        self.shelf = shelf

    async def search(self, query: str, k: int) -> list[str]:
        return [f"{self.shelf} {query} of {k}"]


def test_a_function_finds_and_the_best_of_what_it_gives_stand_last() -> None:
    pipeline = ready(reading(lookup))
    assert context(pipeline, "cats") == "[1] cats good\n[2] cats best"
    assert not pipeline.run(question="cats").trace.retrieved


def test_an_object_with_that_method_finds_too_and_two_of_them_are_two() -> None:
    assert context(ready(reading(Library("north"))), "cats") == "[1] north cats of 2"

    class Both(fw.Program):
        one = Retrieve("question -> context", documents=Library("north"))
        two = Retrieve("question -> context", documents=Library("south"))
        read = fw.Predict("first, second, question -> answer: int")

        def forward(self, question: str) -> Any:
            found = [find(question=question).context for find in (self.one, self.two)]
            return self.read(first=found[0], second=found[1], question=question)

    text = ready(Both()).run(question="q").trace.prompts()[0][1]
    assert "[1] north q of 3" in text and "[1] south q of 3" in text


def test_what_it_raises_or_returns_amiss_is_a_failure_of_this_query_alone() -> None:
    pipeline = ready(reading(wild))
    good, odd = pipeline.runs({"question": "cats"}, {"question": "odd"})
    assert isinstance(good.result, Values)
    assert isinstance(odd.result, Failure) and "must return a list of texts, but returned 7" in odd.result.reason
    assert context(pipeline, "none") == "(nothing was found)"


def test_each_text_is_cut_at_its_cap() -> None:
    run = ready(reading(retriever(wild, cap=9))).run(question="long")
    assert isinstance(run.result, Values)
    assert run.result.fields["context"] == "\n".join(f"[{i}] " + " ".join(["word"] * 9) for i in (1, 2))


def test_an_impure_one_says_so_in_the_graph() -> None:
    nodes = ready(reading(retriever(lookup, pure=False))).plan.graph.nodes
    (node,) = (n for n in nodes if n.op is Op.HOST and n.name.endswith("search"))
    assert node.attrs.pure is False and node.attrs.target == f"{__name__}:lookup"  # type: ignore[union-attr]


@pytest.mark.parametrize(("settings", "said"), [({"cap": 0}, "cap >= 1"), ({"cap": "x"}, "cap >= 1")])
def test_a_retriever_s_settings_are_checked(settings: Any, said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        retriever(lookup, **settings)
    with pytest.raises(SignatureError, match="a class must be an instance"):
        retriever(Library)
    with pytest.raises(TraceError, match="cannot be read"):
        retriever(len)


# artifacts --------------------------------------------------------------------------------------------------

MODULE = """
import flopwise as fw
from flopwise.modules.retrieval.retriever import retriever

@retriever(cap=100)
def search(query: str, k: int) -> list[str]:
    return [f"function {query}"]

class Library:
    def search(self, query: str, k: int) -> list[str]:
        return [f"object {query}"]

library = retriever(Library(), at="finders_of_mine:library")
"""
SAVE = """
import sys
import flopwise as fw
from flopwise.modules.retrieval.retrieve import RetrieveThenRead
import finders_of_mine
source = getattr(finders_of_mine, sys.argv[1])
module = RetrieveThenRead(fw.Predict("context, question -> answer: int"), documents=source)
fw.lower(module, engine=fw.ScriptedEngine(default="7")).save(sys.argv[2])
"""
LOAD = """
import sys
import flopwise as fw
record = fw.load(sys.argv[1], fw.ScriptedEngine(default="7"))(question="cats")
print(record.context)
"""


def python(code: str, *args: str, folder: Path) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    run = subprocess.run([sys.executable, "-c", code, *args], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize(("name", "found"), [("search", "[1] function cats"), ("library", "[1] object cats")])
def test_a_retriever_is_found_again_by_its_import_path(tmp_path: Path, name: str, found: str) -> None:
    (tmp_path / "finders_of_mine.py").write_text(MODULE)
    python(SAVE, name, str(tmp_path / "a.fw"), folder=tmp_path)
    assert python(LOAD, str(tmp_path / "a.fw"), folder=tmp_path) == found


def test_an_object_without_an_import_path_is_not_saved(tmp_path: Path) -> None:
    pipeline = fw.lower(reading(Library("north")), engine=fw.ScriptedEngine(default="7"))
    assert pipeline(question="q").answer == 7
    with pytest.raises(ArtifactError, match="it has no import path"):
        pipeline.save(tmp_path / "a.fw")


def test_an_index_travels_and_needs_nothing_of_the_program(tmp_path: Path) -> None:
    path = fw.lower(reading(name="rag"), engine=fw.ScriptedEngine(default="7")).save(tmp_path / "a.fw")
    (file,) = (path / "index").iterdir()
    assert [json.loads(line)["texts"] for line in file.read_text().splitlines()] == [[t.strip()] for t in TEXTS]
    here = ready(reading(name="rag")).run(question="cats").result
    assert isinstance(here, Values) and python(LOAD, str(path), folder=tmp_path) == here.fields["context"]


def test_an_index_that_two_nodes_use_is_one_file(tmp_path: Path) -> None:
    class Twice(fw.Program):
        one = Retrieve("question -> context", documents=DOCS, k=1)
        two = Retrieve("question -> context", documents=DOCS, k=2)
        read = fw.Predict("first, second, question -> answer: int")

        def forward(self, question: str) -> Any:
            found = [find(question=question).context for find in (self.one, self.two)]
            return self.read(first=found[0], second=found[1], question=question)

    here = fw.lower(Twice(), engine=fw.ScriptedEngine(default="7"))
    path = here.save(tmp_path / "a.fw")
    assert len(list((path / "index").iterdir())) == 1
    loaded = fw.load(path, fw.ScriptedEngine(default="7"))
    assert loaded.plan.hash == here.plan.hash
    prompts = [p(question="Ada's cats?").trace.prompts() for p in (here, loaded)]
    assert prompts[0] == prompts[1]


def test_a_retriever_is_still_the_function_it_wraps() -> None:
    made = retriever(cap=3)(lookup)
    assert isinstance(made, Retriever) and made("q", 1) == lookup("q", 1) and made.cap == 3
