from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeft.errors import FolderError
from edgeft.tasks import TASKS, image_encoder
from edgeft.tasks.image_encoder import ImageEncoder

PLAIN: dict[str, Any] = {
    "kind": "image",
    "channels": "RGB",
    "orientation": "exif",
    "background": [255, 255, 255],
    "height": 4,
    "width": 4,
    "rescale": 1 / 255,
    "mean": [0.0, 0.0, 0.0],
    "std": [1.0, 1.0, 1.0],
    "input": "pixel_values",
}


def saved(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def columns(width: int, height: int) -> np.ndarray:
    """Every pixel holds its column in red and its row in green."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y, 0 * x], axis=2)


def test_value_of_a_pixel(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.full((4, 4, 3), (255, 51, 0)))
    found = ImageEncoder({**PLAIN, "mean": [0.5, 0.1, 0.2], "std": [0.5, 0.2, 0.1]})([path])["pixel_values"]
    assert found.shape == (1, 3, 4, 4)
    assert found.dtype == np.float32
    assert found[0, :, 0, 0] == pytest.approx([(1 - 0.5) / 0.5, (0.2 - 0.1) / 0.2, (0 - 0.2) / 0.1], abs=1e-6)


def test_blue_first(tmp_path: Path) -> None:  # M16
    path = saved(tmp_path / "a.png", np.full((4, 4, 3), (255, 51, 0)))
    found = ImageEncoder({**PLAIN, "channels": "BGR"})([path])["pixel_values"]
    assert found[0, :, 0, 0] == pytest.approx([0, 0.2, 1])


def test_planes_are_channels_rows_columns(tmp_path: Path) -> None:
    found = ImageEncoder({**PLAIN, "rescale": 1.0})([saved(tmp_path / "a.png", columns(4, 4))])["pixel_values"][0]
    assert found[0].tolist() == [[0, 1, 2, 3]] * 4
    assert found[1].tolist() == [[0] * 4, [1] * 4, [2] * 4, [3] * 4]


@pytest.mark.parametrize(
    ("width", "rounding", "first"), [(4, "down", 0), (7, "down", 1), (7, "half-even", 2), (5, "half-even", 0)]
)
def test_centre_of_a_wide_image(tmp_path: Path, width: int, rounding: str, first: int) -> None:  # M15
    how = {**PLAIN, "crop": {"height": 4, "width": 4, "rounding": rounding}, "rescale": 1.0}
    found = ImageEncoder(how)([saved(tmp_path / "a.png", columns(width, 4))])["pixel_values"]
    assert found[0, 0, 0].tolist() == [first, first + 1, first + 2, first + 3]


def test_crop_larger_than_the_image_is_black_around(tmp_path: Path) -> None:
    how = {**PLAIN, "crop": {"height": 4, "width": 4}, "rescale": 1.0}
    found = ImageEncoder(how)([saved(tmp_path / "a.png", np.full((4, 1, 3), 9))])["pixel_values"]
    assert found[0, 0].tolist() == [[0, 9, 0, 0]] * 4


@pytest.mark.parametrize(
    ("size", "resized"), [((301, 203), (269, 182)), ((203, 301), (182, 269)), ((64, 1), (11648, 182))]
)
def test_shorter_side_keeps_the_aspect(tmp_path: Path, size: tuple[int, int], resized: tuple[int, int]) -> None:
    # 182 * 301 / 203 = 269.86 and 182 * 64 = 11648
    resize = {"rule": "shortest_edge", "size": 182}
    how = {**PLAIN, "resize": resize, "resample": "bilinear", "height": resized[1], "width": resized[0]}
    encoder = ImageEncoder(how)
    path = saved(tmp_path / "a.png", columns(size[0], size[1]) % 256)
    expected = Image.open(path).resize(resized, Image.Resampling.BILINEAR)
    assert (encoder.pixels(path) == np.asarray(expected)).all()


@pytest.mark.parametrize("size", [(301, 203), (203, 301), (40, 1), (30, 200)])
@pytest.mark.parametrize("crop", [20, 28])
def test_very_long_images_are_resized_where_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], crop: int
) -> None:
    how = {
        **PLAIN,
        "resize": {"rule": "shortest_edge", "size": 24},
        "resample": "bicubic",
        "crop": {"height": crop, "width": crop},
        "height": crop,
        "width": crop,
    }
    path = saved(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)))
    whole = ImageEncoder(how).pixels(path).astype(int)
    monkeypatch.setattr(image_encoder, "_LARGEST_PIXELS", 0)
    assert np.abs(ImageEncoder(how).pixels(path) - whole).max() <= 1


def test_strip_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    resize = Image.Image.resize

    def counting(image: Image.Image, size: tuple[int, int], *rest: Any, **options: Any) -> Image.Image:
        made.append(size[0] * size[1])
        return resize(image, size, *rest, **options)

    path = saved(tmp_path / "a.png", np.full((1, 50_000, 3), (255, 51, 0)))
    monkeypatch.setattr(Image.Image, "resize", counting)
    how = {
        **PLAIN,
        "resize": {"rule": "shortest_edge", "size": 64},
        "resample": "bicubic",
        "crop": {"height": 4, "width": 4},
    }
    assert (ImageEncoder(how).pixels(path) == (255, 51, 0)).all()
    assert made == [16]


@pytest.mark.parametrize("name", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_filters_are_pillows(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (9, 7, 3)))
    found = ImageEncoder({**PLAIN, "resize": {"rule": "exact", "height": 4, "width": 4}, "resample": name}).pixels(path)
    assert (found == np.asarray(Image.open(path).resize((4, 4), getattr(Image.Resampling, name.upper())))).all()


def test_input_of_the_model() -> None:
    (spec,) = ImageEncoder(PLAIN).inputs
    assert (spec.name, spec.dtype, spec.shape) == ("pixel_values", "float32", ("batch", 3, 4, 4))


def test_background_of_transparent_images(tmp_path: Path) -> None:  # D13
    Image.new("RGBA", (4, 4), (255, 0, 255, 0)).save(tmp_path / "a.png")
    found = ImageEncoder({**PLAIN, "background": [0, 255, 51]})([tmp_path / "a.png"])["pixel_values"]
    assert found[0, :, 0, 0] == pytest.approx([0, 1, 0.2])


@pytest.mark.parametrize("missing", ["mean", "std", "rescale", "background", "channels", "height"])
def test_incomplete_description(missing: str) -> None:  # T13
    task = TASKS.load("image-classification")
    with pytest.raises(FolderError, match=f"lacks {missing}"):
        task.encoder({key: value for key, value in PLAIN.items() if key != missing}, Path())


@pytest.mark.parametrize("nothing", [None, {}])
def test_missing_description(nothing: dict[str, Any] | None) -> None:  # T13
    with pytest.raises(FolderError, match="preprocessing description is missing"):
        TASKS.load("image-classification").encoder(nothing, Path())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("channels", "GRB"),
        ("orientation", "as stored"),
        ("resize", {"rule": "pad", "size": 3}),
        ("crop", {"height": 4, "width": 4, "rounding": "up"}),
        ("kind", "text"),
    ],
)
def test_description_of_a_newer_version(key: str, value: Any) -> None:
    with pytest.raises(FolderError):
        ImageEncoder({**PLAIN, "resample": "bicubic", key: value})


def test_shape_that_does_not_fit_the_model(tmp_path: Path) -> None:  # M15
    with pytest.raises(FolderError, match="makes images of 3 x 5 and the model takes 4 x 4"):
        ImageEncoder(PLAIN)([saved(tmp_path / "a.png", columns(5, 3))])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mean": [0.5, 0.5]}, r"mean is \[0.5, 0.5\] and should be three numbers"),
        ({"std": [0.5, 0.0, 0.5]}, r"std is \[0.5, 0.0, 0.5\] and should be three numbers other than 0"),
        ({"height": "32"}, 'height is "32" and should be a whole number above 0'),
        ({"rescale": None}, "rescale is null and should be a number"),
        ({"background": [0, 0, 256]}, r"background is \[0, 0, 256\] and should be three numbers from 0 to 255"),
        ({"resize": "exact"}, 'resize is "exact" and should be an object'),
        ({"resize": {"rule": "shortest_edge"}}, "resize.size is missing"),
        ({"resize": {"rule": "exact", "height": 8}}, "resize.width is missing"),
        ({"crop": {"height": 8}}, "crop.width is missing"),
    ],
)
def test_a_description_of_another_make_names_the_field_that_is_wrong(changed, message) -> None:  # type: ignore[no-untyped-def]
    how = {
        "kind": "image", "channels": "RGB", "orientation": "exif", "background": [255, 255, 255], "height": 8,
        "width": 8, "resample": "bilinear", "rescale": 1 / 255, "mean": [0.0] * 3, "std": [1.0] * 3,
        "input": "pixel_values",
    }  # fmt: skip
    with pytest.raises(FolderError, match=f"the preprocessing description is not right: {message}"):
        ImageEncoder({**how, **changed})
