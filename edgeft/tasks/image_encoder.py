"""Image files to `pixel_values`, by the description that travels with the model.

The description (all sizes in pixels):

    {"kind": "image", "channels": "RGB" | "BGR", "orientation": "exif", "background": [r, g, b] 0..255,
     "resize": {"rule": "shortest_edge", "size": n} | {"rule": "exact", "height": h, "width": w}   (absent: none),
     "resample": "nearest" | "box" | "bilinear" | "hamming" | "bicubic" | "lanczos",
     "crop": {"height": h, "width": w, "rounding": "down" | "half-even"}   (absent: none),
     "height": h, "width": w, "rescale": factor, "mean": [3], "std": [3], "input": name}

value = (pixel * rescale - mean) / std, with pixel 0..255. `rounding` says which pixel an odd margin goes to:
transformers crops at floor(margin / 2), torchvision and timm at round-half-to-even(margin / 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data.imagefile import open_rgb, pillow
from edgeft.errors import FolderError
from edgeft.form import NUMBER, SIZE, TEXT, Record, numbers
from edgeft.tasks.describe import check, choose
from edgeft.tasks.task import TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

_RESIZE = Record({"rule": TEXT}, {"size": SIZE, "height": SIZE, "width": SIZE})
_FORM = Record(
    {
        "channels": TEXT, "orientation": TEXT, "height": SIZE, "width": SIZE, "rescale": NUMBER, "input": TEXT,
        "background": numbers(3, "three numbers from 0 to 255", lambda value: 0 <= value <= 255),
        "mean": numbers(3, "three numbers"), "std": numbers(3, "three numbers other than 0", bool),
    },
    {"resize": _RESIZE, "resample": TEXT, "crop": Record({"height": SIZE, "width": SIZE}, {"rounding": TEXT})},
)  # fmt: skip
# Rule -> the sizes it goes by.
_RULES = {"shortest_edge": {"size": SIZE}, "exact": {"height": SIZE, "width": SIZE}}
_ROUNDING = {"down": lambda margin: margin // 2, "half-even": lambda margin: round(margin / 2)}
# A strip of 1 x 5,000 pixels resized to 256 on its short side has 330 million pixels, a gigabyte on a small board.
_LARGEST_PIXELS = 1 << 25
_CHANNELS = {"RGB": (0, 1, 2), "BGR": (2, 1, 0)}
# Pillow's own numbers of its filters (PIL.Image.Resampling), so that the table needs no Pillow.
RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}


class ImageEncoder:
    """Paths of image files -> {input name: float32 [n, 3, height, width]}."""

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        how = check(preprocessing, "image", _FORM)
        pillow()
        choose(how["orientation"], {"exif": True}, "orientation")
        red, green, blue = how["background"]
        self._background = (int(red), int(green), int(blue))
        self._order = list(choose(how["channels"], _CHANNELS, "channels"))
        self._resize: Mapping[str, Any] | None = how.get("resize")
        if self._resize is not None:
            wanted = choose(self._resize["rule"], _RULES, "resize rule")
            check(how, "image", Record({"resize": Record(wanted)}))
            self._resample = choose(how.get("resample", ""), RESAMPLE, "resample")
        self._crop: Mapping[str, Any] | None = how.get("crop")
        self._rounding = choose((self._crop or {}).get("rounding", "down"), _ROUNDING, "crop rounding")
        self._height, self._width = int(how["height"]), int(how["width"])
        self._rescale = np.float32(how["rescale"])
        self._mean = np.asarray(how["mean"], np.float32).reshape(3, 1, 1)
        self._std = np.asarray(how["std"], np.float32).reshape(3, 1, 1)
        self._input = str(how["input"])
        # One step of a pixel's 0..255 in the values the model sees, [3, 1, 1]: the unit of comparisons.
        self.step = self._rescale / self._std
        shape = ("batch", 3, self._height, self._width)
        self.inputs: tuple[TensorSpec, ...] = (TensorSpec(self._input, "float32", shape, "normalised intensity"),)

    def __call__(self, contents: Sequence[Path | str]) -> dict[str, NDArray[Any]]:
        """Raises DataError when a file is missing or cannot be decoded whole."""
        batch = np.empty((len(contents), 3, self._height, self._width), np.float32)
        for row, path in enumerate(contents):
            batch[row] = self.normalise(self.pixels(Path(path)))
        return {self._input: batch}

    def pixels(self, path: Path) -> NDArray[np.uint8]:
        """The file after decoding, resizing and cropping: uint8 [height, width, 3], RGB."""
        return self.arrange(open_rgb(path, self._background))

    def arrange(self, image: Image) -> NDArray[np.uint8]:
        """An RGB image resized and cropped: uint8 [height, width, 3]."""
        size = self._target(image)
        if self._crop is not None and size[0] * size[1] > _LARGEST_PIXELS:
            image = self._window(image, size)
        elif size != image.size:
            image = image.resize(size, self._resample)
        if self._crop is not None:
            image = self._cropped(image, int(self._crop["height"]), int(self._crop["width"]))
        if image.size != (self._width, self._height):
            raise FolderError(
                f"the preprocessing makes images of {image.height} x {image.width} and the model takes "
                f"{self._height} x {self._width}"
            )
        return np.asarray(image)

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [height, width, 3] RGB -> float32 [3, height, width] in the model's channel order."""
        planes: NDArray[np.float32] = pixels.transpose(2, 0, 1)[self._order].astype(np.float32)
        planes *= self._rescale
        planes -= self._mean
        planes /= self._std
        return planes

    def _target(self, image: Image) -> tuple[int, int]:
        """(width, height) after resizing."""
        if self._resize is None:
            return image.size
        if self._resize["rule"] == "exact":
            return int(self._resize["width"]), int(self._resize["height"])
        return _shortest_edge(image.width, image.height, int(self._resize["size"]))

    def _window(self, image: Image, size: tuple[int, int]) -> Image:
        """What the crop will keep of `image` resized to `size`, without making all of it."""
        across = self._kept(size[0], int((self._crop or {})["width"]))
        down = self._kept(size[1], int((self._crop or {})["height"]))
        x, y = image.width / size[0], image.height / size[1]
        box = (across[0] * x, down[0] * y, across[1] * x, down[1] * y)
        return image.resize((across[1] - across[0], down[1] - down[0]), self._resample, box=box)

    def _kept(self, side: int, crop: int) -> tuple[int, int]:
        """First and last + 1 pixel of a side that the crop keeps; all of a side that is shorter."""
        first = self._rounding(side - crop) if side > crop else 0
        return first, min(side, first + crop)

    def _cropped(self, image: Image, height: int, width: int) -> Image:
        """The middle of the image; one that is smaller is first laid in the middle of a black sheet."""
        if height > image.height or width > image.width:
            sheet_size = (max(width, image.width), max(height, image.height))
            sheet = pillow().Image.new("RGB", sheet_size)
            sheet.paste(image, ((sheet_size[0] - image.width) // 2, (sheet_size[1] - image.height) // 2))
            image = sheet
        left, top = self._rounding(image.width - width), self._rounding(image.height - height)
        return image.crop((left, top, left + width, top + height))


def _shortest_edge(width: int, height: int, size: int) -> tuple[int, int]:
    """(width, height) with the shorter side `size`; the longer one is cut to whole pixels, as torchvision does."""
    if width <= height:
        return size, max(1, int(size * height / width))
    return max(1, int(size * width / height)), size
