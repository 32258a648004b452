"""One model, one file: a second one beside it only where ONNX itself cannot do without."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir

from edgeft.errors import ModelError

# A protobuf message holds less than 2 GiB; the graph needs some of it.
SPLIT_ABOVE_BYTES = 2_000_000_000
_STAYS_BYTES = 1024


def write(model: ir.Model, path: Path, split_above: int = SPLIT_ABOVE_BYTES) -> Path:
    """Write `path`; weights go to `path`.data beside it when together they are larger than `split_above` bytes.

    Older files of these names are removed first: external data is never appended to.
    Raises ModelError when the ONNX checker refuses the file.
    """
    data = path.with_name(f"{path.name}.data")
    for file in (path, data):
        file.unlink(missing_ok=True)
    values = model.graph.initializers.values()
    size = sum(value.const_value.nbytes for value in values if value.const_value is not None)
    if size > split_above:
        ir.save(model, path, external_data=data.name, size_threshold_bytes=_STAYS_BYTES)
    else:
        ir.save(model, path)
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise ModelError(
            f"the ONNX checker refuses {path.name}: {' '.join(str(error).split())[:300]}", "report this model"
        ) from error
    return path
