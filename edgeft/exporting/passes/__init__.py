"""The passes that turn the exporter's graph into what integer kernels take (quantization.md 2.10): one file each.

A pipeline is a value, a tuple of passes. Each pass has a contract that holds when it is done; the same contracts are
a gate on the file written.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgeft.exporting.passes.attention import AttentionKernels
from edgeft.exporting.passes.biases import QuantizeBiases
from edgeft.exporting.passes.blocks import StoreBlocks
from edgeft.exporting.passes.dtype import StoreActivationsAs
from edgeft.exporting.passes.dynamic import MultiplyIntegers
from edgeft.exporting.passes.embeddings import GatherIntegers
from edgeft.exporting.passes.fold_weights import FoldWeights
from edgeft.exporting.passes.gemm import LinearAsGemm
from edgeft.exporting.passes.half import FitConstants, ToHalf
from edgeft.exporting.passes.linear import LinearKernels
from edgeft.exporting.passes.merge import MergeConstants
from edgeft.exporting.passes.moves import MoveIntegers
from edgeft.exporting.passes.pooling import PoolGlobally
from edgeft.exporting.passes.rank_zero import ScalarGrids
from edgeft.exporting.passes.rescale import Rescale
from edgeft.exporting.passes.shield import ShieldFloatProducts
from edgeft.exporting.passes.step import Pass, run
from edgeft.exporting.passes.tidy import Tidy
from edgeft.exporting.passes.transposes import FoldTransposes
from edgeft.exporting.passes.unshare import Unshare
from edgeft.scheme import Scheme

__all__ = ["LinearAsGemm", "Pass", "float_pipeline", "half_pipeline", "integer_pipeline", "run"]


def float_pipeline(opset: int, ir_version: int) -> tuple[Pass, ...]:
    return MergeConstants(), Tidy(opset, ir_version)


def half_pipeline(opset: int, ir_version: int, kept: Mapping[str, str]) -> tuple[Pass, ...]:
    """`kept`: operators that stay float32, and why (half.stays_float)."""
    return FitConstants(), ToHalf(kept), Tidy(opset, ir_version)


def integer_pipeline(scheme: Scheme, opset: int, ir_version: int) -> tuple[Pass, ...]:
    """The passes for a scheme's number grids, in an order that matters: later ones rely on earlier contracts."""
    dtype = scheme.activation.dtype
    as_gemm, biases = scheme.integer_bias and not scheme.float_answers, scheme.integer_bias
    at_run_time = scheme.linear_data is not None and not scheme.rounds_in_kernel
    return (
        *((StoreBlocks(),) if scheme.linear_weight.block else ()),
        FoldWeights(),
        Rescale(),
        FoldTransposes(),
        *((MultiplyIntegers(),) if at_run_time else ()),
        *(() if scheme.pairs else (GatherIntegers(), MoveIntegers())),
        PoolGlobally(scheme.pairs),
        *((LinearAsGemm(scheme.pairs),) if as_gemm else ()),
        *((QuantizeBiases(), ShieldFloatProducts()) if biases else ()),
        ScalarGrids(),
        Unshare(),
        *((StoreActivationsAs(dtype),) if dtype in ("u8", "s8") and not scheme.activation.symmetric else ()),
        *((LinearKernels(), AttentionKernels()) if scheme.float_answers else ()),
        Tidy(opset, ir_version),
    )
