"""Write a small bundle with two real variants: python tests/evaluation/make_bundle.py OUT

A linear classifier of 8 x 8 images (mean red, green or blue), in float32 and with 8-bit Quantize/Dequantize nodes.
Its weights are set by hand, so every answer can be worked out: the label is the channel with the largest mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgeft.bundle import Bundle
from edgeft.data.dataset import Example
from edgeft.tasks import TASKS
from edgeft.tasks.eval_examples import write_examples
from edgeft.tasks.reference import write_reference

LABELS = ("red", "green", "blue")
SIZE = 8
PREPROCESSING = {
    "kind": "image", "channels": "RGB", "orientation": "exif", "background": [255, 255, 255],
    "resize": {"rule": "exact", "height": SIZE, "width": SIZE}, "resample": "bilinear",
    "height": SIZE, "width": SIZE, "rescale": 1 / 255, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0],
    "input": "pixel_values",
}  # fmt: skip


def weights() -> np.ndarray:
    """[3 * 64, 3]: logit k is the mean of channel k."""
    matrix = np.zeros((3, SIZE * SIZE, 3), np.float32)
    for channel in range(3):
        matrix[channel, :, channel] = 1 / (SIZE * SIZE)
    return matrix.reshape(-1, 3)


def float_model(bias: tuple[float, float, float] = (0.0, 0.0, 0.0), opset: int = 20, ir: int = 9) -> onnx.ModelProto:
    """pixel_values float32 [batch, 3, 8, 8] -> logits [batch, 3]."""
    nodes = [
        helper.make_node("Flatten", ["pixel_values"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"]),
    ]
    return _model(nodes, {"weight": weights(), "bias": np.array(bias, np.float32)}, opset, ir)


def int8_model(bias: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> onnx.ModelProto:
    """The same with uint8 activations and int8 weights: onnxruntime fuses it into QGemm.

    Weights keep to 7 bits, so that processors without VNNI compute the same.
    """
    x_scale, w_scale, y_scale = 1 / 255, 1 / 64 / 64, 1.5 / 255
    initializers = {
        "x_scale": np.array(x_scale, np.float32), "x_zero": np.array(0, np.uint8),
        "w_scale": np.array(w_scale, np.float32), "w_zero": np.array(0, np.int8),
        "b_scale": np.array(x_scale * w_scale, np.float32), "b_zero": np.array(0, np.int32),
        "y_scale": np.array(y_scale, np.float32), "y_zero": np.array(64, np.uint8),
        "w_q": np.round(weights() / w_scale).astype(np.int8),
        "b_q": np.round(np.array(bias) / (x_scale * w_scale)).astype(np.int32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Flatten", ["pixel_values"], ["flat"]),
        helper.make_node("QuantizeLinear", ["flat", "x_scale", "x_zero"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "x_scale", "x_zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["w_q", "w_scale", "w_zero"], ["w"]),
        helper.make_node("DequantizeLinear", ["b_q", "b_scale", "b_zero"], ["b"]),
        helper.make_node("Gemm", ["x", "w", "b"], ["y"]),
        helper.make_node("QuantizeLinear", ["y", "y_scale", "y_zero"], ["y_q"]),
        helper.make_node("DequantizeLinear", ["y_q", "y_scale", "y_zero"], ["logits"]),
    ]
    return _model(nodes, initializers, 20, 9)


def _model(nodes: list, initializers: dict[str, np.ndarray], opset: int, ir: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir
    return model


def image(label: int, number: int) -> Image.Image:
    """A noisy picture whose channel `label` is brightest."""
    rng = np.random.default_rng([label, number])
    pixels = rng.integers(0, 120, (SIZE, SIZE, 3))
    pixels[..., label] += 100
    return Image.fromarray(pixels.astype(np.uint8))


def make_bundle(
    out: Path,
    n: int = 30,
    models: dict[str, onnx.ModelProto] | None = None,
    broken: tuple[int, ...] = (),
    wrong_labels: tuple[int, ...] = (),
) -> Bundle:
    """Write and open a bundle of `n` images.

    broken        these images are cut off half-way
    wrong_labels  these carry the next label, so that accuracy is below 1
    """
    out = Path(out)
    pictures = out.parent / f"{out.name}-pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    examples = []
    for number in range(n):
        place = pictures / f"{number}.png"
        image(number % 3, number).save(place)
        if number in broken:
            place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])
        label = (number + (1 if number in wrong_labels else 0)) % 3
        examples.append(Example(f"{LABELS[label]}/{number}.png", place, label))
    listed = write_examples(out, examples, LABELS)
    for model in pictures.iterdir():
        model.unlink()
    pictures.rmdir()
    write_reference(out, TASKS.load("image-classification").encoder(PREPROCESSING, out), "image")
    models = models or {"original": float_model(), "int8": int8_model()}
    schemes = {"int8": "u8s8", "int8-ptq": "u8s8"}
    variants = {}
    for name, model in models.items():
        onnx.save(model, out / f"{name}.onnx")
        variants[name] = {"file": f"{name}.onnx", "title": name, "scheme": schemes.get(name, "float32")}
    document = {
        "edgeft": "0.1.0",
        "task": "image-classification",
        "metric": "accuracy",
        "labels": list(LABELS),
        "preprocessing": PREPROCESSING,
        "inputs": [{"name": "pixel_values", "dtype": "float32", "shape": ["batch", 3, SIZE, SIZE], "unit": ""}],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": ["batch", 3], "unit": "logit"}],
        "original_is": "the model as given",
        "profile": None,
        "scheme": "u8s8",
        "variants": variants,
        "eval": {**listed, "split": "test"},
    }
    return Bundle.write_manifest(out, document)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a bundle of small linear models.")
    parser.add_argument("out", type=Path)
    make_bundle(parser.parse_args().out)
