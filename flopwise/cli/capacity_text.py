"""What `flopwise plan-capacity` prints: each figure with and without the prefix cache, and what it follows from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

from ..ir.capacity import Flow, Load, Stage, prefill_flops
from ..ir.flops import format_flops
from ..ir.serving import Model, Server, pool_tokens

Flows = tuple[Flow, Flow]  # with the prefix cache, and without


class Row(NamedTuple):
    """A line: what it is, its figure with the prefix cache and without, and what they follow from."""

    label: str
    figure: str
    without: str
    how: str

    def __str__(self) -> str:
        return f"{self.label:24} {self.figure:>13} {self.without:>13}  {self.how}".rstrip()


def as_text(model: Model, server: Server, load: Load, flows: Flows) -> str:
    """The estimate for people."""
    parts = [f"{model.name}, a server being {server.tp} x {server.gpu.name}. Estimates; nothing was measured."]
    for title, rows in sections(model, server, load, flows).items():
        heads = ("with cache", "without") if any(row.without for row in rows) else ("", "")
        lines = [Row(title, *heads, ""), *(row._replace(label=f"  {row.label}") for row in rows)]
        parts.append("\n".join(map(str, lines)))
    return "\n\n".join(parts)


def as_json(model: Model, server: Server, load: Load, flows: Flows) -> dict[str, Any]:
    """The estimate for programs: in bytes, tokens, FLOPs and seconds."""
    with_cache, without = (asdict(flow) | {"gpus": flow.servers * server.tp} for flow in flows)
    return {
        "estimate": True,
        "model": asdict(model) | {"parameters": model.parameters},
        "server": asdict(server) | {"flops": server.flops, "bytes_per_second": server.bytes},
        "load": asdict(load) | {"peak_queries_per_second": load.rate},
        "memory": {
            "weight_bytes": model.weight_bytes,
            "kv_bytes_per_token": model.kv_bytes,
            "pool_tokens": pool_tokens(model, server),
        },
        "with_cache": with_cache,
        "without_cache": without,
        "how": {row.label: row.how for rows in sections(model, server, load, flows).values() for row in rows},
    }


def sections(model: Model, server: Server, load: Load, flows: Flows) -> dict[str, list[Row]]:
    """The lines of the estimate by their title."""
    return {
        "Load": _load(load),
        "Memory": _memory(model, server),
        "A query": _query(model, load, flows),
        "A server": _server(server, load, flows),
        "Servers": _servers(server, load, flows),
    }


def _load(load: Load) -> list[Row]:
    peak = Row(
        "queries/s at the peak", f"{load.rate:,.1f}", "", f"{load.queries:,.0f} a day / 86,400 s x {load.peak:g}"
    )
    return [*(_stage(stage) for stage in load.stages), peak]


def _stage(stage: Stage) -> Row:
    found = f"{stage.carried:,} of the turn before" if stage.carried else f"{stage.shared:,} shared by every query"
    what = f"of {stage.prompt:,} prompt tokens, {found}; {stage.output:,} generated"
    return Row(f"requests, {stage.name}", f"{stage.requests:,.0f}", "", what)


def _memory(model: Model, server: Server) -> list[Row]:
    s, gpu = model.shape, server.gpu
    kv = f"2 x {s.layers} layers x {s.kv_heads} KV heads x {s.head_dim} wide x {model.kv_bits} bits"
    split = f" / {server.tp} GPUs" if server.tp > 1 else ""
    held = f" / {min(server.tp, s.kv_heads)}" if server.tp > 1 else ""
    pool = f"tokens: ({server.memory:g} x {gpu.memory:g} GB - weights{split}) / (KV a token{held})"
    shape = "embeddings, attention, MLPs, output head"
    return [
        Row(
            "parameters",
            f"{model.parameters / 1e9:,.2f} B",
            "",
            shape + (", which is the embedding" if model.tied else ""),
        ),
        Row("weights", f"{model.weight_bytes / 1e9:,.1f} GB", "", f"parameters x {model.weight_bits} bits"),
        Row("KV a token", f"{model.kv_bytes:,.0f} B", "", kv),
        Row("KV pool", f"{pool_tokens(model, server):,}", "", pool),
    ]


def _query(model: Model, load: Load, flows: Flows) -> list[Row]:
    cold = prefill_flops(model.shape, Load((Stage(1, max(load.shared, 1), 0, 1),)), (0.0, 0.0), False)
    return [
        _row("prompt tokens reused", flows, lambda f: f"{f.reused:.1%}", "samples of a prompt prefill it once"),
        _row("prefill", flows, lambda f: format_flops(f.prefill_flops), "cost model: prompt tokens not reused"),
        _row("decoding", flows, lambda f: format_flops(f.decode_flops), "cost model: tokens generated but the first"),
        Row("a shared prefix", format_flops(cold), "", "once on each server that gets it"),
    ]


def _server(server: Server, load: Load, flows: Flows) -> list[Row]:
    tflops, tbs, share = server.gpu.tflops, server.gpu.bandwidth, f" x {server.parallel:g}" if server.tp > 1 else ""
    prefill = f"tokens/s: {server.tp} x {tflops:,g} TFLOP/s x {server.compute:g}{share} / FLOPs of a prompt token"
    decode = f"tokens/s: sequences / step, {server.tp} x {tbs:g} TB/s x {server.bandwidth:g}{share}"
    hits = [
        _row(
            "hits of shared prefixes", flows, lambda f: f"{f.hits[0]:.1%}", f"of {load.prefixes:,} in use, by what fits"
        ),
        _row("hits of earlier turns", flows, lambda f: f"{f.hits[1]:.1%}", f"where a turn waits {load.gap:g} s"),
    ]
    return [
        _row("sequences at once", flows, lambda f: f"{f.sequences:,}", f"that fit the pool, at most {server.batch:,}"),
        _row("working set", flows, lambda f: f"{f.working_set:,.0f}", "tokens: sequences, prefixes, waiting turns"),
        *(hits if any(stage.carried for stage in load.stages) else hits[:1]),
        _row("prefill speed", flows, lambda f: f"{f.prefill_rate:,.0f}", prefill),
        _row("decoding speed", flows, lambda f: f"{f.decode_rate:,.0f}", decode),
        _row("queries/s at most", flows, lambda f: f"{f.queries:,.2f}", "1 / (seconds of prefill + of decoding)"),
        _row("seconds of a query", flows, lambda f: f"{f.latency:,.1f}", "on a busy server, without queueing"),
    ]


def _servers(server: Server, load: Load, flows: Flows) -> list[Row]:
    how = f"{load.rate:,.1f} queries/s / (queries/s at most x {server.utilization:g} busy), rounded up"
    return [
        _row("servers", flows, lambda f: f"{f.servers:,}", how),
        _row("GPUs", flows, lambda f: f"{f.servers * server.tp:,}", f"servers x {server.tp}"),
    ]


def _row(label: str, flows: Flows, shown: Callable[[Flow], str], how: str) -> Row:
    with_cache, without = flows
    return Row(label, shown(with_cache), shown(without), how)
