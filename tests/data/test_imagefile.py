from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from edgeft.data.imagefile import decode, open_rgb
from edgeft.errors import DataError, MachineError
from tests.data.pictures import picture


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def pixels(content: bytes, **options: tuple[int, int, int]) -> np.ndarray:
    image = decode(content, "x", **options)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_cmyk_jpeg_as_pillow_converts_it() -> None:  # D12
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(pixels(encoded(red, "JPEG", quality=95)).astype(int) - (255, 0, 0)).max() <= 3


def test_transparent_palette_shows_the_background() -> None:  # D13
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 255, 0, 0, 255])
    image.putdata([0, 1])
    content = encoded(image, "PNG", transparency=0)
    assert pixels(content).tolist() == [[[255, 255, 255], [0, 0, 255]]]
    assert pixels(content, background=(0, 10, 20)).tolist() == [[[0, 10, 20], [0, 0, 255]]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_image_that_is_transparent_all_over(mode: str) -> None:  # D13
    content = encoded(Image.new(mode, (3, 2), (90, 80, 70, 0)[-len(mode) :] if mode == "RGBA" else (90, 0)), "PNG")
    assert (pixels(content) == 255).all()


def test_half_transparent_is_mixed() -> None:  # D13
    content = encoded(Image.new("RGBA", (1, 1), (0, 0, 0, 128)), "PNG")
    assert pixels(content).tolist() == [[[127, 127, 127]]]


def test_rgb_and_gray_png_with_a_transparent_colour() -> None:  # D13
    image = Image.new("RGB", (2, 1), (255, 0, 255))
    image.putpixel((1, 0), (1, 2, 3))
    assert pixels(encoded(image, "PNG", transparency=(255, 0, 255))).tolist() == [[[255, 255, 255], [1, 2, 3]]]
    gray = Image.new("L", (2, 1), 7)
    gray.putpixel((1, 0), 9)
    assert pixels(encoded(gray, "PNG", transparency=7)).tolist() == [[[255, 255, 255], [9, 9, 9]]]


def test_gray_one_bit_and_one_pixel_high() -> None:  # D14
    assert pixels(encoded(Image.new("L", (4, 3), 77), "PNG")).tolist() == [[[77] * 3] * 4] * 3
    one_bit = Image.new("1", (2, 1))
    one_bit.putpixel((0, 0), 1)
    assert pixels(encoded(one_bit, "PNG")).tolist() == [[[255] * 3, [0] * 3]]
    assert pixels(encoded(Image.new("RGB", (5, 1), (1, 2, 3)), "PNG")).tolist() == [[[1, 2, 3]] * 5]


def test_sixteen_bits_keep_the_high_byte() -> None:  # D14
    values = np.array([[0, 255, 256, 0x7FFF, 0xFFFF]], np.uint16)
    content = encoded(Image.fromarray(values), "PNG")
    assert pixels(content)[0, :, 0].tolist() == [0, 0, 1, 0x7F, 0xFF]


def test_thirty_two_bits_are_refused() -> None:
    content = encoded(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF")
    with pytest.raises(DataError, match="32 bits a pixel"):
        decode(content, "depth.tiff")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "MPO"])
def test_first_frame(kind: str) -> None:  # D15
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    found = pixels(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert np.abs(found.astype(int) - (250, 0, 0)).max() <= 4


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (4, 2), (0, 0, 0))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    found = pixels(encoded(image, "PNG", exif=exif))
    assert found.shape == (4, 2, 3)
    assert found[0, 1].tolist() == [255, 255, 255]


def test_truncated_by_two_bytes() -> None:  # D08
    content = encoded(picture(width=90, height=60), "JPEG")
    decode(content, "x.jpg")
    with pytest.raises(DataError, match=r"x.jpg cannot be read: it is cut off or damaged"):
        decode(content[:-2], "x.jpg")


def test_package_that_lets_truncated_images_pass(monkeypatch: pytest.MonkeyPatch) -> None:  # D08
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(DataError, match="cut off or damaged"):
        decode(encoded(picture(width=90, height=60), "JPEG")[:-200], "x.jpg")


def test_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="too large to decode safely"):
        decode(encoded(picture(), "PNG"), "x.png")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no.jpg cannot be opened: No such file"):
        open_rgb(tmp_path / "no.jpg")


def test_missing_pillow_is_named_by_module(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "PIL" or name.startswith("PIL.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MachineError, match="module PIL, which is missing; pip install Pillow"):
        decode(b"", "x")
