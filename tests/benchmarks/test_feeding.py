"""The feeding benchmark: what it reads out of metrics, and both clients on a server that only counts."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import feeding
from benchmarks._feeding_clients import BenchServing, flopwise
from benchmarks._feeding_load import asks, words_of
from benchmarks._feeding_place import Place
from benchmarks._feeding_runs import Run, low
from benchmarks._feeding_watch import Sample, read, watching
from flopwise import ScriptedEngine
from flopwise.ir.request import GenerateRequest, Reply

# As SGLang 0.5.23 writes it, but for the labels that are left out.
METRICS = """
# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="m",priority="",tp_rank="0"} 30.0
sglang:num_running_reqs{model_name="m",priority="7",tp_rank="0"} 12.0
sglang:num_queue_reqs{model_name="m",priority="",tp_rank="0"} 9.0
sglang:num_running_reqs_offline_batch{model_name="m"} 500.0
sglang:num_requests_total{model_name="m",stream="False"} 3.0
sglang:num_requests_total{model_name="m",stream="True"} 2.0
sglang:prompt_tokens_total{model_name="m"} 1.5e+06
sglang:generation_tokens_total{model_name="m"} 77.0
sglang:realtime_tokens_total{mode="prefill_compute",model_name="m"} 999.0
sglang:realtime_tokens_total{mode="decode",model_name="m"} 640.0
sglang:cuda_graph_passes_total{mode="prefill_none",model_name="m"} 88.0
sglang:cuda_graph_passes_total{mode="decode_none",model_name="m"} 15.0
sglang:cuda_graph_passes_total{mode="decode_cuda_graph",model_name="m",tp_rank="0"} 5.0
sglang:cuda_graph_passes_total{mode="decode_cuda_graph",model_name="m",tp_rank="1"} 5.0
sglang:scheduler_idle_seconds_total{model_name="m"} 0.25
"""


def test_metrics_are_summed_over_modes_and_counted_once() -> None:
    assert read(METRICS) == {
        "running": 30, "waiting": 9, "finished": 5, "prompt": 1.5e6, "output": 77, "decoded": 640, "steps": 20,
        "idle": 0.25,
    }  # fmt: skip


def test_a_server_without_metrics_is_refused() -> None:
    with pytest.raises(RuntimeError, match="--enable-metrics"):
        read("python_gc_objects_collected_total 3.0")


def sample(at: float, finished: int, decoded: int, steps: int, idle: float = 0.0, running: int = 4) -> Sample:
    return Sample(at, 10 + at / 4, running, running / 2, finished, 100 * finished, 5 * finished, decoded, steps, idle)


def run(*samples: Sample, client: str = "flopwise", seconds: float = 10.0) -> Run:
    return Run(client, seconds, 20, 6, 4, samples, 0.5)


BEFORE, AFTER = sample(0, 100, 1000, 300, running=0), sample(9, 120, 1100, 330, running=0)


def test_fullness_is_tokens_by_steps_while_work_is_queued() -> None:
    made = run(BEFORE, sample(1, 100, 1000, 300), sample(3, 105, 1040, 310), sample(4, 113, 1056, 318), AFTER)
    # The last one is left out, as is the first; the client may have 6 under way, so that at 14 answers all are sent.
    assert [s.at for s in made.queued] == [1, 3, 4]
    assert made.full == pytest.approx(56 / 18 / 4) and made.windows == [1.0, 0.5]
    assert made.gauges == [1.0, 1.0, 1.0]
    assert made.cpu_while_queued == pytest.approx(3 / 4 / 13)
    assert (made.rate, made.output_rate) == (2.0, 10.0)


def test_a_server_that_idles_is_not_full() -> None:
    made = run(BEFORE, sample(1, 100, 1000, 300, idle=5.0), sample(5, 110, 1040, 310, idle=6.0), AFTER)
    assert made.idle == 0.25 and made.full == 0.75 and made.windows == [1.0]


def test_times_without_a_decode_step_are_no_window() -> None:
    made = run(
        BEFORE, sample(1, 100, 1000, 300), sample(2, 100, 1000, 300), sample(3, 110, 1040, 310), AFTER
    )  # fmt: skip
    assert made.windows == [1.0] and made.full == 1.0


def test_all_sent_at_once_leaves_nothing_to_measure() -> None:
    made = run(BEFORE, sample(1, 100, 1000, 300), sample(2, 116, 1040, 310), AFTER)
    with pytest.raises(RuntimeError, match="6 under way, left time for 1; raise --requests, lower --every"):
        _ = made.full


def test_a_server_in_use_by_others_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="20 requests of flopwise and no others, but it has answered 21"):
        run(BEFORE, replace(AFTER, finished=121))


def test_the_low_end() -> None:
    assert low([1.0] * 18 + [0.25, 0.5]) == 0.5 and low([0.75]) == 0.75


def test_figures_are_of_the_worst_run_and_the_median_pair() -> None:
    def one(client: str, seconds: float, decoded: int) -> Run:
        return run(
            BEFORE,
            sample(1, 100, 1000, 300),
            sample(3, 110, 1000 + decoded, 310),
            AFTER,
            client=client,
            seconds=seconds,
        )

    runs = [
        one("flopwise", 10.0, 40), one("bench_serving", 12.0, 20), one("bench_serving", 8.0, 20),
        one("flopwise", 10.0, 39), one("flopwise", 16.0, 40), one("bench_serving", 40.0, 30),
    ]  # fmt: skip
    figures = feeding._figures(runs)
    assert figures["running_batch_full"] == figures["running_batch_full_p5"] == 0.975
    assert figures["ratio_to_bench_serving"] == figures["token_ratio_to_bench_serving"] == 1.2
    assert figures["bench_serving_batch_full"] == 0.5 and figures["requests_per_second"] == 2.0
    assert figures["client_us_per_request"] == 25000 and figures["bench_serving_us_per_request"] == 50000
    assert "ratio_to_bench_serving" not in feeding._figures([r for r in runs if r.client == "flopwise"])


def test_asks_are_short_and_share_nothing() -> None:
    tokenizer = Words()
    words = words_of(tokenizer, 0)
    made = asks(tokenizer, words, 400, 1)
    assert made == asks(tokenizer, words, 400, 1) != asks(tokenizer, words, 400, 2)
    assert {len(a.ids) for a in made} == set(range(24, 65)) and {a.limit for a in made} == set(range(8, 17))
    assert all(tokenizer.encode(a.text) == a.ids and len(tokenizer.encode(a.output)) == a.limit for a in made)
    assert len({a.ids[0] for a in made}) > 300


def test_a_tokenizer_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="100 words of one token are needed, but this tokenizer has 0"):
        words_of(Numbers(), 0)


def test_flopwise_feeds_all_of_it(place: Place, server: Counting) -> None:
    load = asks(place.engine.tokenizer, words_of(place.engine.tokenizer, 0), 60, 0)
    made = flopwise(place, load)
    assert server.flushed == 1 and sorted(place.engine.prompts) == sorted(a.ids for a in load)  # type: ignore[attr-defined]
    assert (made.client, made.requests, made.in_flight, made.most) == ("flopwise", 60, 6, 4)
    first, last = made.samples[0], made.samples[-1]
    assert (last.finished - first.finished, last.decoded - first.decoded) == (60, 480)
    assert made.seconds > 0 and made.cpu is not None and made.cpu > 0 and last.cpu >= first.cpu > 0


PEER = """#!{python}
import json, sys, urllib.request
words = dict(zip(sys.argv[3::2], sys.argv[4::2]))
assert sys.argv[1:3] == ["-m", "sglang.bench_serving"] and words["--max-concurrency"] == "6", sys.argv
asks = [json.loads(line)["conversations"] for line in open(words["--dataset-path"])]
assert len(asks) == int(words["--num-prompts"]) and all(len(turns) == 2 for turns in asks)
for turns in asks[{skipped}:]:
    urllib.request.urlopen(words["--base-url"] + "/generate", data=turns[0]["content"].encode()).close()
if {status}:
    sys.exit("no tokenizer")
with open(words["--output-file"], "w") as file:
    json.dump({{"duration": 2.5}}, file)
"""


def peer(folder: Path, skipped: int = 0, status: int = 0) -> BenchServing:
    python = folder / "python"
    python.write_text(PEER.format(python=sys.executable, skipped=skipped, status=status))
    python.chmod(0o755)
    return BenchServing(python, os.environ)


def test_bench_serving_gets_the_same(place: Place, server: Counting, tmp_path: Path) -> None:
    load = asks(place.engine.tokenizer, words_of(place.engine.tokenizer, 0), 10, 0)
    made = peer(tmp_path)(place, load)
    assert server.flushed == 1 and server.texts == [a.text for a in load]
    assert (made.client, made.requests, made.rate) == ("bench_serving", 10, 4.0)


def test_bench_serving_that_fails_or_skips_is_no_measurement(place: Place, tmp_path: Path) -> None:
    load = asks(place.engine.tokenizer, words_of(place.engine.tokenizer, 0), 4, 0)
    with pytest.raises(RuntimeError, match=r"ended with 1; what it said last:\nno tokenizer"):
        peer(tmp_path, status=1)(place, load)
    with pytest.raises(RuntimeError, match="4 requests of bench_serving and no others, but it has answered 3"):
        peer(tmp_path, skipped=1)(place, load)


def test_watching_a_server_without_metrics(server: Counting, capfd: pytest.CaptureFixture[str]) -> None:
    server.metrics = False
    with pytest.raises(RuntimeError, match="cannot be read; why stands above"), watching(server.url, 1.0, os.getpid()):
        pass
    assert "--enable-metrics" in capfd.readouterr().err


def test_watching_ends_with_what_it_watches(server: Counting) -> None:
    with pytest.raises(ZeroDivisionError), watching(server.url, 600.0, os.getpid()):
        raise ZeroDivisionError


def test_clients_take_turns_at_going_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    went: list[tuple[str, int]] = []

    def client(name: str) -> feeding.Client:
        def feed(where: Place, load: Sequence[Any]) -> Run:
            went.append((name, hash(tuple(load))))
            return run(BEFORE, AFTER, client=name)

        return feed

    monkeypatch.setattr(feeding, "flopwise", client("wake"))
    feeding._runs(place, [client("one"), client("other")], 5, 3)
    assert [name for name, _ in went] == ["wake", "one", "other", "other", "one", "one", "other"]
    loads = [load for _, load in went[1:]]
    assert loads[0] == loads[1] != loads[2] == loads[3] != loads[4] == loads[5] and len(set(loads)) == 3


def test_options() -> None:
    parser = argparse.ArgumentParser()
    feeding.arguments(parser)
    options = parser.parse_args([])
    assert (options.requests, options.url, options.running) == (2000, None, 32)
    assert [str(t) for t in feeding._TARGETS] == ["at least 0.95"]


class Words:
    """A vocabulary of words: every id from 1000 on is a space and five letters."""

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(f" {''.join(chr(97 + i // 26**k % 26) for k in range(5))}" for i in ids)

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(sum((ord(c) - 97) * 26**k for k, c in enumerate(word)) for word in text.split())


class Numbers(Words):
    """A vocabulary without letters."""

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


class Counting:
    """An HTTP server with the parts of SGLang's that are read here; each request takes two decode steps."""

    def __init__(self) -> None:
        self.answered, self.flushed, self.metrics = 7, 0, True
        self.texts: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(outer.text() if outer.metrics else "")

            def do_POST(self) -> None:
                if self.path.startswith("/flush_cache"):
                    outer.flushed += 1
                else:
                    outer.texts.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                    outer.answered += 1
                self.reply("")

            def reply(self, text: str) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def text(self) -> str:
        return (
            f'sglang:num_running_reqs{{a=""}} 4.0\nsglang:num_requests_total {self.answered}.0\n'
            f'sglang:realtime_tokens_total{{mode="decode"}} {8 * self.answered}.0\n'
            f'sglang:cuda_graph_passes_total{{mode="decode_none"}} {2 * self.answered}.0\n'
        )


class Engine(ScriptedEngine):
    """Answers at once, and has the server count it."""

    def __init__(self, server: Counting) -> None:
        super().__init__(default="42")
        self.server = SimpleNamespace(running=4)  # type: ignore[assignment]
        self.prompts: list[tuple[int, ...]] = []
        self._counting = server

    @property
    def capabilities(self) -> Any:
        return replace(super().capabilities, in_flight=6)

    @property
    def tokenizer(self) -> Any:
        return Words()

    async def generate(self, request: GenerateRequest) -> Reply:
        self.prompts.append(request.ids)
        self._counting.answered += 1
        return await super().generate(request)


@pytest.fixture
def server() -> Iterator[Counting]:
    made = Counting()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


@pytest.fixture
def place(server: Counting) -> Place:
    return Place(server.url, Engine(server), 0.05)
