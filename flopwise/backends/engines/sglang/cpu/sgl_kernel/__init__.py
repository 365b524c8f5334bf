"""Stands in for SGLang's kernel package, which is compiled for other processors and cannot load here.

SGLang imports eight names of it on a CPU, whichever attention it then uses, and calls none of them with its
`torch_native` attention. Here each is a function that raises, so that a call would be seen rather than be wrong.
"""

from __future__ import annotations

from typing import Any, NoReturn


def _absent(name: str) -> Any:
    def call(*_: object, **__: object) -> NoReturn:
        raise NotImplementedError(
            f"sgl_kernel.{name}: SGLang called a kernel that this environment does not have; use "
            "--attention-backend torch_native, or a machine for which SGLang's kernels are built"
        )

    call.__name__ = name
    return call


assign_draft_cache_locs_contiguous_cpu = _absent("assign_draft_cache_locs_contiguous_cpu")
assign_extend_cache_locs_cpu = _absent("assign_extend_cache_locs_cpu")
assign_req_to_token_pool_cpu = _absent("assign_req_to_token_pool_cpu")
build_tree_kernel_efficient_cpu = _absent("build_tree_kernel_efficient_cpu")
copy_all_layer_kv_cache_cpu = _absent("copy_all_layer_kv_cache_cpu")
fill_accept_out_cache_loc_cpu = _absent("fill_accept_out_cache_loc_cpu")
fill_bonus_tokens_cpu = _absent("fill_bonus_tokens_cpu")
verify_tree_greedy_cpu = _absent("verify_tree_greedy_cpu")
