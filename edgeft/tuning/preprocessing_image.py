"""The description of a transformers image processor (5.x) or of timm's transform, proven on images before it is used.

Most processors follow one rule: resize, crop the centre, rescale, normalise. Those with a rule of their own have a
function in RULES. Whatever the settings say, the description is compared with the processor itself before it is used
(preprocessing_proof).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data.imagefile import WHITE
from edgeft.errors import ModelError, UsageError
from edgeft.tasks.image_encoder import RESAMPLE
from edgeft.tuning.preprocessing_proof import prove

Description = dict[str, Any]
_HOLDS = ("shortest_edge", "height", "width", "longest_edge", "max_height", "max_width", "min_pixels", "max_pixels")
# ConvNeXt squeezes the whole image from this size on and crops below it (its processor in transformers).
_CONVNEXT_SQUEEZES_FROM = 384


def image_preprocessing(processor: Any, image_size: int | None) -> Description:
    """The description of `processor`; `image_size` (pixels) replaces its square input at the same crop ratio.

    Raises ModelError naming the setting edgeft does not support, UsageError for a size below 8 pixels.
    """
    if image_size is not None and image_size < 8:
        raise UsageError(f"--image-size {image_size} is too small", "give at least 8 pixels, 224 is usual")
    rule = _timm if hasattr(processor, "val_transforms") else RULES.get(_family(processor), standard)
    prove(processor, rule(processor, None))
    return rule(processor, image_size)


def _family(processor: Any) -> str:
    return type(processor).__name__.removesuffix("Fast").removesuffix("Pil")


def standard(processor: Any, image_size: int | None) -> Description:
    """Resize to a shorter side or to an exact size, crop the centre, rescale, normalise."""
    size = _size(processor, "size") if getattr(processor, "do_resize", None) else {}
    crop = _size(processor, "crop_size") if getattr(processor, "do_center_crop", None) else {}
    if set(size) not in ({"shortest_edge"}, {"height", "width"}, set()):
        raise _unsupported(processor, "size", size)
    if crop and set(crop) != {"height", "width"}:
        raise _unsupported(processor, "crop_size", crop)
    if not crop and set(size) != {"height", "width"}:
        raise ModelError(
            f"{_family(processor)} leaves images of different shapes (do_center_crop is off and size is {size}), and "
            "a model on a device takes one shape",
            "set size to height and width in preprocessor_config.json",
        )
    final = crop or size
    if image_size is not None:
        short = min(final["height"], final["width"])
        size = {key: value * image_size // short for key, value in size.items()}
        final = {"height": image_size, "width": image_size}
        size = size if crop else final
    return _describe(processor, _resize(size), final if crop else None, final)


def _convnext(processor: Any, image_size: int | None) -> Description:
    """The shorter side to size / crop_pct, then the centre; from 384 pixels on the whole image is squeezed."""
    if not processor.do_resize or processor.do_center_crop:
        return standard(processor, image_size)
    size = _size(processor, "size")
    if set(size) != {"shortest_edge"}:
        raise _unsupported(processor, "size", size)
    side = image_size or size["shortest_edge"]
    final = {"height": side, "width": side}
    if side >= _CONVNEXT_SQUEEZES_FROM:
        return _describe(processor, _resize(final), None, final)
    return _describe(processor, _resize({"shortest_edge": int(side / processor.crop_pct)}), final, final)


def _poolformer(processor: Any, image_size: int | None) -> Description:
    """As `standard`, with the shorter side enlarged by 1 / crop_pct."""
    found = standard(processor, image_size)
    if processor.do_resize and processor.crop_pct is not None:
        size = found["resize"].get("size") or found["resize"]["height"]
        if found["resize"].get("width", size) != size:
            raise _unsupported(processor, "size", found["resize"])
        found["resize"] = _resize({"shortest_edge": int(size / processor.crop_pct)})
    return found


def _levit(processor: Any, image_size: int | None) -> Description:
    """As `standard`, with the shorter side enlarged by 256 / 224."""
    found = standard(processor, image_size)
    if found.get("resize", {}).get("rule") == "shortest_edge":
        found["resize"]["size"] = int((256 / 224) * found["resize"]["size"])
    return found


def _mobilevit(processor: Any, image_size: int | None) -> Description:
    """As `standard`, without normalisation and with blue first."""
    found = {**standard(processor, image_size), "mean": [0.0] * 3, "std": [1.0] * 3}
    return {**found, "channels": "BGR" if processor.do_flip_channel_order else "RGB"}


def _efficientnet(processor: Any, image_size: int | None) -> Description:
    """(x * rescale - offset - mean) / std, and with include_top divided by std once more."""
    found = standard(processor, image_size)
    mean, std = np.array(found["mean"]), np.array(found["std"])
    if processor.rescale_offset and processor.do_rescale:
        mean = mean + 1.0
    if processor.include_top:
        std = std * _three(processor.image_std)
    return {**found, "mean": mean.tolist(), "std": std.tolist()}


RULES: Mapping[str, Callable[[Any, int | None], Description]] = {
    "ConvNextImageProcessor": _convnext,
    "PoolFormerImageProcessor": _poolformer,
    "LevitImageProcessor": _levit,
    "MobileViTImageProcessor": _mobilevit,
    "EfficientNetImageProcessor": _efficientnet,
}


def _timm(processor: Any, image_size: int | None) -> Description:
    """timm's evaluation transform (timm.data.transforms_factory): sizes are floor(input / crop_pct)."""
    config = processor.data_config
    mode = config.get("crop_mode") or "center"
    channels, height, width = config["input_size"]
    if channels != 3:
        raise _unsupported(processor, "input_size", config["input_size"])
    if image_size is not None:
        height = width = image_size
    scaled_height, scaled_width = (math.floor(side / config["crop_pct"]) for side in (height, width))
    if mode not in ("center", "squash") or (mode == "center" and scaled_height != scaled_width):
        raise _unsupported(processor, "crop_mode", f"{mode} at {height} x {width}")
    if mode == "squash":
        resize = _resize({"height": scaled_height, "width": scaled_width})
    else:
        resize = _resize({"shortest_edge": scaled_height})
    if config["interpolation"] not in RESAMPLE:
        raise _unsupported(processor, "interpolation", config["interpolation"])
    crop = {"height": height, "width": width, "rounding": "half-even"}
    return _assemble(resize, config["interpolation"], crop, (height, width), 1 / 255, config["mean"], config["std"])


def _size(processor: Any, setting: str) -> dict[str, int]:
    """The keys of a size that are set. Older files write an int or a pair."""
    value = getattr(processor, setting, None)
    if isinstance(value, int):
        return {"height": value, "width": value}
    found = {key: value.get(key) if isinstance(value, Mapping) else getattr(value, key, None) for key in _HOLDS}
    return {key: int(number) for key, number in found.items() if number}


def _resize(size: Mapping[str, int]) -> Description | None:
    if not size:
        return None
    if "shortest_edge" in size:
        return {"rule": "shortest_edge", "size": size["shortest_edge"]}
    return {"rule": "exact", "height": size["height"], "width": size["width"]}


def _describe(
    processor: Any, resize: Description | None, crop: Mapping[str, int] | None, final: Mapping[str, int]
) -> Description:
    """The settings every transformers processor has besides its geometry."""
    if getattr(processor, "do_pad", None):
        raise _unsupported(processor, "do_pad", True)
    numbers = {number: name for name, number in RESAMPLE.items()}
    resample = getattr(processor, "resample", None)
    name = numbers.get(2 if resample is None else int(resample))
    if name is None:
        raise _unsupported(processor, "resample", resample)
    normalise = bool(getattr(processor, "do_normalize", None))
    mean = _three(processor.image_mean if normalise else 0.0).tolist()
    std = _three(processor.image_std if normalise else 1.0).tolist()
    rescale = float(processor.rescale_factor) if getattr(processor, "do_rescale", None) else 1.0
    cut = None if crop is None else {**crop, "rounding": "down"}
    return _assemble(resize, name, cut, (final["height"], final["width"]), rescale, mean, std)


def _three(value: Any) -> NDArray[np.float64]:
    return np.array(np.broadcast_to(np.asarray(value, np.float64), (3,)))


def _assemble(
    resize: Description | None,
    resample: str,
    crop: Description | None,
    size: tuple[int, int],
    rescale: float,
    mean: Any,
    std: Any,
) -> Description:
    found: Description = {"kind": "image", "channels": "RGB", "orientation": "exif", "background": list(WHITE)}
    if resize is not None:
        found |= {"resize": resize, "resample": resample}
    if crop is not None:
        found["crop"] = crop
    found |= {"height": size[0], "width": size[1], "rescale": rescale}
    return {**found, "mean": [float(v) for v in mean], "std": [float(v) for v in std], "input": "pixel_values"}


def _unsupported(processor: Any, setting: str, value: Any) -> ModelError:
    return ModelError(
        f"{type(processor).__name__} has {setting} = {value}, which edgeft does not support",
        "change that setting in preprocessor_config.json, or choose another model",
    )
