"""What serves a model: GPUs by their data sheets, servers made of them, and the memory left for keys and values."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import EngineError
from .flops import ModelShape


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU by its data sheet.

    Attributes:
        name: What a user writes.
        memory: GB of memory, a GB being 1e9 bytes (a card reports some more).
        bandwidth: TB/s of its memory.
        tflops: Peak TFLOP/s of BF16 matrix work without sparsity (sheets often print twice that, with it).
    """

    name: str
    memory: float
    bandwidth: float
    tflops: float


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it is served.

    Attributes:
        name: For people.
        shape: Its architecture.
        tied: True where the output head is the embedding.
        weight_bits: Bits of a weight.
        kv_bits: Bits of a key's or value's number.
    """

    name: str
    shape: ModelShape
    tied: bool = False
    weight_bits: int = 16
    kv_bits: int = 16

    @property
    def parameters(self) -> float:
        """Weights in all, norms and biases left out (under 0.02%)."""
        s = self.shape
        attention = s.hidden * s.head_dim * (2 * s.heads + 2 * s.kv_heads)
        mlp = s.mlp_matrices * s.hidden * (s.intermediate * (s.experts or 1) + s.shared_intermediate)
        router = s.hidden * s.experts + (s.hidden if s.shared_intermediate else 0)
        return s.layers * (attention + mlp + router) + s.vocab * s.hidden * (1 if self.tied else 2)

    @property
    def weight_bytes(self) -> float:
        """Bytes of the weights."""
        return self.parameters * self.weight_bits / 8

    @property
    def kv_bytes(self) -> float:
        """Bytes of one token's keys and values; a sliding layer counts as a whole one."""
        s = self.shape
        return 2 * s.layers * s.kv_heads * s.head_dim * self.kv_bits / 8


@dataclass(frozen=True, slots=True)
class Server:
    """One server: a GPU, or several as one by tensor parallelism.

    Attributes:
        gpu: The GPU.
        tp: How many of them.
        memory: Share of their memory that holds weights and the KV pool; the rest is for activations and graphs.
        batch: Most sequences that run at once.
        compute: Share of the peak FLOP/s that prefill reaches.
        bandwidth: Share of the memory's bandwidth that decoding reaches.
        parallel: Share of both that is left where several GPUs exchange activations.
        utilization: Share of the time that a server may be busy at the peak; the rest is against queues.
    """

    gpu: Gpu
    tp: int = 1
    memory: float = 0.85
    batch: int = 256
    compute: float = 0.5
    bandwidth: float = 0.6
    parallel: float = 0.85
    utilization: float = 0.7

    @property
    def flops(self) -> float:
        """FLOP/s reached."""
        return self.gpu.tflops * 1e12 * self.tp * self.compute * self._parallel

    @property
    def bytes(self) -> float:
        """Bytes of memory read a second."""
        return self.gpu.bandwidth * 1e12 * self.tp * self.bandwidth * self._parallel

    @property
    def _parallel(self) -> float:
        return self.parallel if self.tp > 1 else 1.0


_SHEETS = (
    Gpu("a100-40gb", 40, 1.555, 312),
    Gpu("a100-80gb", 80, 2.039, 312),
    Gpu("h100", 80, 3.35, 989),
    Gpu("h100-pcie", 80, 2.0, 756),
    Gpu("h100-nvl", 94, 3.9, 835),
    Gpu("h200", 141, 4.8, 989),
    Gpu("b200", 180, 8.0, 2250),
    Gpu("l4", 24, 0.3, 121),
    Gpu("l40s", 48, 0.864, 362),
    Gpu("mi300x", 192, 5.3, 1307),
)
GPUS = {gpu.name: gpu for gpu in _SHEETS}  # where not said otherwise, of the module (SXM, OAM), not of the card

LIKE = {
    "7b": Model("Qwen2.5-7B-Instruct", ModelShape(28, 3584, 28, 4, 128, 18944, 152064)),
    "70b": Model("Llama-3.1-70B-Instruct", ModelShape(80, 8192, 64, 8, 128, 28672, 128256)),
}


def pool_tokens(model: Model, server: Server) -> int:
    """Tokens whose keys and values a server holds.

    Raises:
        EngineError: The heads cannot be split among the GPUs, or the weights leave no room.
    """
    shape, gpu = model.shape, server.gpu
    if not _even(shape, server.tp):
        fits = ", ".join(str(n) for n in (1, 2, 4, 8, 16) if _even(shape, n))
        raise EngineError(
            f"--tp {server.tp}: {model.name} has {shape.heads} heads and {shape.kv_heads} KV heads a layer, which must "
            f"be split evenly; take one of {fits}"
        )
    room = gpu.memory * 1e9 * server.memory - model.weight_bytes / server.tp
    # Where there are more GPUs than KV heads, each head is held several times.
    tokens = int(room // (model.kv_bytes / min(server.tp, shape.kv_heads)))
    if tokens < 1:
        raise EngineError(
            f"{model.name} is too large for {gpu.name} at --tp {server.tp}: its weights take "
            f"{model.weight_bytes / server.tp / 1e9:.1f} GB of each GPU, which has {gpu.memory * server.memory:.1f} GB "
            f"for weights and KV; {_more_room(model, server)}"
        )
    return tokens


def _even(shape: ModelShape, tp: int) -> bool:
    """Whether the heads of a layer can be split among GPUs."""
    return shape.heads % tp == 0 and 0 in (shape.kv_heads % tp, tp % shape.kv_heads)


def _more_room(model: Model, server: Server) -> str:
    """The next step where weights do not fit."""
    for tp in (2, 4, 8, 16):
        fits = model.weight_bytes / tp < 0.9e9 * server.gpu.memory * server.memory  # with room for a pool
        if tp > server.tp and _even(model.shape, tp) and fits:
            return f"raise --tp to {tp}, or lower --weight-bits for a quantised model"
    return "choose a --gpu with more memory, or lower --weight-bits for a quantised model"
