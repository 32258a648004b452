"""Make a small bundle: are images dark or bright? `python tests/make_small_bundle.py FOLDER`

The model averages each colour and multiplies by a 3 x 2 matrix, so every figure can be worked out by hand: a white
image is +1 in each colour, its logits are (3, -3). The int8 variant has Quantize/Dequantize pairs around the product.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgeft.bundle import Bundle
from edgeft.data.dataset import Example
from edgeft.files import sha256_file, whole_folder
from edgeft.tasks.eval_examples import write_examples

LABELS = ("bright", "dark")
SIDE = 8
# Columns by label: a bright image is above 0 in every colour, a dark one below.
WEIGHT = np.array([[1.0, -1.0]] * 3, np.float32)
PREPROCESSING = {
    "kind": "image", "channels": "RGB", "orientation": "exif", "background": [255, 255, 255],
    "resize": {"rule": "exact", "height": SIDE, "width": SIDE}, "resample": "bilinear",
    "height": SIDE, "width": SIDE, "rescale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "input": "pixel_values",
}  # fmt: skip


def float_model() -> onnx.ModelProto:
    nodes = [*_average(), helper.make_node("Gemm", ["mean", "weight"], ["logits"], name="head")]
    return _model(nodes, {"weight": WEIGHT})


def int8_model() -> onnx.ModelProto:
    """Activations u8 with scale 2/255 and zero point 128; weights s8 with scale 1/127; logits u8, scale 6/255."""
    constants = {
        "s_x": np.float32(2 / 255), "z_x": np.uint8(128),
        "s_w": np.float32(1 / 127), "z_w": np.int8(0), "weight": (WEIGHT * 127).astype(np.int8),
        "s_y": np.float32(6 / 255), "z_y": np.uint8(128),
    }  # fmt: skip
    nodes = [
        *_average(),
        helper.make_node("QuantizeLinear", ["mean", "s_x", "z_x"], ["mean_q"]),
        helper.make_node("DequantizeLinear", ["mean_q", "s_x", "z_x"], ["mean_d"]),
        helper.make_node("DequantizeLinear", ["weight", "s_w", "z_w"], ["weight_d"]),
        helper.make_node("Gemm", ["mean_d", "weight_d"], ["product"], name="head"),
        helper.make_node("QuantizeLinear", ["product", "s_y", "z_y"], ["product_q"]),
        helper.make_node("DequantizeLinear", ["product_q", "s_y", "z_y"], ["logits"]),
    ]
    return _model(nodes, constants)


def _average() -> list[onnx.NodeProto]:
    pool = helper.make_node("GlobalAveragePool", ["pixel_values"], ["pooled"])
    return [pool, helper.make_node("Flatten", ["pooled"], ["mean"])]


def _model(nodes: list[onnx.NodeProto], constants: dict[str, Any]) -> onnx.ModelProto:
    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "brightness", [pixels], [logits], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def make_images(folder: Path, each: int, seed: int = 0) -> list[Example]:
    """`each` noisy images of both labels, PNG."""
    rng = np.random.default_rng(seed)
    examples = []
    for number in range(2 * each):
        label = number % 2
        low, high = (140, 256) if label == 0 else (0, 116)
        pixels = rng.integers(low, high, (SIDE * 2, SIDE * 2, 3), dtype=np.uint8)
        place = folder / f"{LABELS[label]}-{number:03d}.png"
        Image.fromarray(pixels).save(place)
        examples.append(Example(place.name, place, label))
    return examples


def make_bundle(target: Path, each: int = 40) -> Bundle:
    """A whole bundle in `target` with 2 * `each` held-out images and the variants original and int8."""
    with whole_folder(target) as work:
        (work / "images").mkdir()
        listed = write_examples(work, make_images(work / "images", each), LABELS)
        for image in (work / "images").iterdir():
            image.unlink()
        (work / "images").rmdir()
        (work / "original.onnx").write_bytes(float_model().SerializeToString())
        (work / "int8.onnx").write_bytes(int8_model().SerializeToString())
        Bundle.write_manifest(work, _document(listed, sha256_file(work / "eval/examples.jsonl")))
    return Bundle.open(target)


def _document(listed: dict[str, Any], data: str) -> dict[str, Any]:
    def variant(file: str, title: str, scheme: str, integer: int) -> dict[str, Any]:
        coverage = {"integer": integer, "all": 1, "float_nodes": []}
        return {"file": file, "title": title, "scheme": scheme, "integer_coverage": coverage, "parity": {}}

    return {
        "edgeft": "0.1.0", "created_utc": "2026-01-01T00:00:00Z",
        "task": "image-classification", "metric": "accuracy", "labels": list(LABELS), "preprocessing": PREPROCESSING,
        "inputs": [{"name": "pixel_values", "dtype": "float32", "shape": ["batch", 3, SIDE, SIDE], "unit": ""}],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": ["batch", len(LABELS)], "unit": ""}],
        "original_is": "the model as given", "profile": None, "scheme": "u8s8",
        "variants": {
            "original": variant("original.onnx", "original", "float32", 0),
            "int8": variant("int8.onnx", "8 bit", "u8s8", 1),
        },
        "eval": {**listed, "split": "test"}, "calibration": {"n": 0, "ids_sha256": data, "sample_ids": []},
        "gates": [], "provenance": {"run_sha256": data, "data_fingerprint": data}, "versions": {},
    }  # fmt: skip


if __name__ == "__main__":
    made = make_bundle(Path(sys.argv[1]))
    print(f"{made.path}: {', '.join(made.variants)}")
