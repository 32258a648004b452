"""The whole command on texts: free sequence length, texts over the limit, inputs a variant does not have."""

import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeft.bundle import Bundle
from edgeft.data.dataset import Example
from edgeft.errors import ModelError
from edgeft.evaluation import run
from edgeft.specs import EvalSpec
from edgeft.tasks.eval_examples import write_examples

tokenizers = pytest.importorskip("tokenizers")

WORDS = ["[PAD]", "[UNK]", "good", "bad", "it", "is"]
LABELS = ("no", "yes")


def model():
    """Logits are the sums of word values: "good" speaks for yes, "bad" for no."""
    table = np.zeros((len(WORDS), 2), np.float32)
    table[2], table[3] = (0.0, 1.0), (1.0, 0.0)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["values"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["values", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["logits"], keepdims=0),
    ]
    ids = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "sequence"])
        for n in ("input_ids", "attention_mask")
    ]
    graph = helper.make_graph(
        nodes,
        "words",
        ids,
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([2]), "last"),
            numpy_helper.from_array(np.array([1]), "middle"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    made.ir_version = 9
    return made


def text_bundle(out, texts, vocabulary=6):
    import onnx

    out.mkdir()
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(out / "tokenizer.json"))
    listed = write_examples(out, [Example(f"row {i}", text, label) for i, (text, label) in enumerate(texts)], LABELS)
    onnx.save(model(), out / "original.onnx")
    document = {
        "task": "text-classification", "metric": "accuracy", "labels": list(LABELS),
        "preprocessing": {
            "kind": "text", "tokenizer": "tokenizer.json", "max_length": 8, "pad_id": 0, "pad_type_id": 0,
            "inputs": ["input_ids", "attention_mask", "token_type_ids"], "vocabulary": vocabulary,
        },
        "inputs": [
            {"name": n, "dtype": "int64", "shape": ["batch", "sequence"]} for n in ("input_ids", "attention_mask")
        ],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": ["batch", 2]}],
        "original_is": "the model as given", "profile": None, "scheme": "u8s8",
        "variants": {"original": {"file": "original.onnx", "title": "original", "scheme": "float32"}},
        "eval": {**listed, "split": "test"},
    }  # fmt: skip
    return Bundle.write_manifest(out, document)


@pytest.fixture
def evaluate(tmp_path, short):
    def call(bundle):
        given = {"preset": "quick", "profile": "generic", "threads": 1, "output": tmp_path / "result"}
        return run.evaluate(EvalSpec(bundle=bundle.path, **given))

    return call


def test_a_text_over_the_limit_is_cut_and_counted_once(evaluate, tmp_path):
    # D26: 600 words where 8 fit; "bad" stands at the end and is cut off, so the answer is yes.
    texts = [("it is good", 1), ("it is bad", 0), ("good " * 599 + "bad", 1), ("bad", 0)]
    document = evaluate(text_bundle(tmp_path / "b", texts)).document
    assert document["variants"]["original"]["accuracy"]["value"] == 1.0
    flags = {flag["code"]: flag["evidence"] for flag in document["validity"]["flags"]}
    assert flags["texts_cut"] == "1 of 4 texts were cut to the tuned length"
    assert document["data"]["sequence_length"] == {"min": 1, "median": 3, "max": 8}


def test_a_tokenizer_of_another_model_stops(evaluate, tmp_path):
    # R18: ids reach 5, the model's table is said to hold 4 rows.
    with pytest.raises(ModelError, match="vocabulary"):
        evaluate(text_bundle(tmp_path / "b", [("it is good", 1)], vocabulary=4))


def test_a_bundle_with_one_variant_has_figures_and_no_comparison(evaluate, tmp_path):
    document = evaluate(text_bundle(tmp_path / "b", [("it is good", 1), ("bad", 0)])).document
    assert document["comparisons"] == {} and document["claims"] == []
    assert document["variants"]["original"]["latency"]["p50_s"] > 0
    json.dumps(document, allow_nan=False)
