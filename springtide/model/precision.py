"""What numbers the backbone and the towers multiply in: float32, or bfloat16 where the processor has it.

In bfloat16 the matrix products of those layers alone read and write 8-bit mantissas; parameters, optimizers, embedding
tables, the last layer, logits and losses stay float32 (mixed precision, Micikevicius et al. 2018; bfloat16 has
float32's range and needs no loss scaling, Kalamkar et al. 2019). A processor without bfloat16 instructions computes
the same, far slower.
"""

from contextlib import AbstractContextManager, nullcontext

import torch


def multiplying_in(precision: str) -> AbstractContextManager[object]:
    """Return a context in which matrix products use `precision`, one of config.py's PRECISIONS."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast("cpu", dtype=torch.bfloat16)


def has_fast_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 in hardware."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
