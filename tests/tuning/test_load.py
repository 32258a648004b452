from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from edgeft.errors import ModelError
from edgeft.tuning.load import Loaded, load
from edgeft.tuning.source import find_source
from tests.tuning import small

TEXT = ("AutoModelForSequenceClassification", "text")
IMAGE = ("AutoModelForImageClassification", "image")


def loaded(folder: Path, kind: tuple[str, str], labels: list[str]) -> Loaded:
    return load(find_source(str(folder), folder / "original"), *kind, labels, trust_remote_code=False)


def test_a_head_of_other_classes_is_made_anew_and_one_line_says_so(tmp_path: Path) -> None:  # T04
    found = loaded(small.save_timm(tmp_path / "m", labels=3), IMAGE, ["cat", "dog"])
    assert found.model(pixel_values=torch.zeros(1, 3, 32, 32)).logits.shape == (1, 2)
    assert found.fresh == ("timm_model.fc",)
    assert found.notes == ("the classification head is made anew: 2 classes of the data instead of the model's 3",)
    assert not found.answers_task


def test_as_many_classes_with_other_names_also_get_a_new_head(tmp_path: Path) -> None:
    folder = small.save_timm(tmp_path / "m", labels=3)
    same = loaded(folder, IMAGE, ["a", "b", "c"])
    other = loaded(folder, IMAGE, ["ant", "bee", "cow"])
    assert same.answers_task and not same.fresh
    assert other.fresh == ("timm_model.fc",) and not other.answers_task
    assert not torch.equal(same.model.timm_model.fc.weight, other.model.timm_model.fc.weight)


def test_the_model_answers_in_the_order_of_the_data_s_labels(tmp_path: Path) -> None:
    folder = small.save_timm(tmp_path / "m", labels=3)
    image = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    own = loaded(folder, IMAGE, ["a", "b", "c"]).model.eval()(pixel_values=image).logits[0]
    turned = loaded(folder, IMAGE, ["c", "a", "b"])
    logits = turned.model.eval()(pixel_values=image).logits[0]
    torch.testing.assert_close(logits, own[[2, 0, 1]])
    assert turned.answers_task
    assert turned.model.config.id2label == {0: "c", 1: "a", 2: "b"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_checkpoints_become_fp32_masters(tmp_path: Path, dtype: torch.dtype) -> None:  # T06
    folder = small.save_bert(tmp_path / "bert")
    transformers.BertModel.from_pretrained(folder).to(dtype).save_pretrained(folder)
    found = loaded(folder, TEXT, ["x", "y"])
    assert {parameter.dtype for parameter in found.model.parameters()} == {torch.float32}
    assert f"the checkpoint is in {str(dtype)[6:]}; its weights are tuned in float32" in found.notes


def test_an_encoder_whose_names_carry_another_prefix_is_refused(tmp_path: Path) -> None:  # T07
    folder = small.save_bert(tmp_path / "bert")
    weights = load_file(folder / "model.safetensors")
    save_file({f"student.{name}": tensor for name, tensor in weights.items()}, folder / "model.safetensors")
    with pytest.raises(ModelError, match="does not hold the weights of its encoder"):
        loaded(folder, TEXT, ["x", "y"])


def test_one_missing_encoder_tensor_is_refused_by_name(tmp_path: Path) -> None:  # T07
    folder = small.save_bert(tmp_path / "bert")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.output\.dense\.weight"):
        loaded(folder, TEXT, ["x", "y"])


def test_a_missing_pooler_learns_with_the_head(tmp_path: Path) -> None:
    folder = small.save_bert(tmp_path / "bert", "BertForMaskedLM")
    found = loaded(folder, TEXT, ["x", "y"])
    assert set(found.fresh) == {"classifier", "bert.pooler"}


def test_the_encoder_s_weights_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    folder = small.save_bert(tmp_path / "bert")
    found = loaded(folder, TEXT, ["x", "y"])
    stored = load_file(folder / "model.safetensors")["encoder.layer.0.output.dense.weight"]
    np.testing.assert_array_equal(found.model.bert.encoder.layer[0].output.dense.weight.detach(), stored)


def test_an_unknown_hub_id_without_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    source = find_source("nobody-here/no-such-model", tmp_path / "original")
    with pytest.raises(ModelError) as caught:
        load(source, *TEXT, ["x", "y"], trust_remote_code=False)
    assert "nobody-here/no-such-model" in str(caught.value) and "\n" not in str(caught.value)
    assert "give a folder" in caught.value.next_step


def test_code_of_strangers_is_refused(tmp_path: Path) -> None:
    folder = small.save_bert(tmp_path / "bert")
    config = (folder / "config.json").read_text()
    auto = '"auto_map": {"AutoConfig": "theirs.Theirs", "AutoModelForSequenceClassification": "theirs.Model"}'
    config = config.replace('"model_type": "bert"', f'"model_type": "theirs", {auto}')
    (folder / "config.json").write_text(config)
    (folder / "theirs.py").write_text("raise SystemExit('ran code of strangers')\n")
    with pytest.raises(ModelError, match=r"which edgeft never runs; .* --model FILE\.py:FUNCTION"):
        loaded(folder, TEXT, ["x", "y"])


def test_a_checkpoint_that_is_cut_off_is_one_line_about_it(tmp_path: Path) -> None:
    folder = small.save_bert(tmp_path / "bert")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=rf"the model in {folder} cannot be read"):
        loaded(folder, TEXT, ["x", "y"])


def test_a_checkpoint_without_its_image_processor_says_what_to_save(tmp_path: Path) -> None:  # T13
    folder = small.save_vit(tmp_path / "vit")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"holds no image processor.*image_processor\.save_pretrained\(folder\)"):
        loaded(folder, IMAGE, ["x", "y"])


def test_a_model_of_texts_for_images(tmp_path: Path) -> None:
    folder = small.save_bert(tmp_path / "bert")
    with pytest.raises(ModelError, match=r"a model of the kind Bert, .*: images, texts, tagged words or sounds"):
        loaded(folder, IMAGE, ["x", "y"])
