from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edgeft.data.alike import image_key, nearest, text_key
from tests.data.pictures import picture


@pytest.mark.parametrize("text", ["Book a  FLIGHT, please!", "book a flight please", "book a flight\u00a0please"])
def test_texts_that_differ_in_capitals_spaces_and_marks_are_alike(text: str) -> None:
    assert text_key(text) == "book a flight please"


def test_other_words_and_letters_are_not_alike() -> None:
    assert len({text_key(text) for text in ("a cat", "a cats", "acat", "á cat")}) == 4
    assert text_key("?! ...") == ""


def test_the_hash_is_the_sign_of_horizontal_differences() -> None:
    rising = np.tile(np.arange(0, 170, 10, dtype=np.uint8), (16, 1))  # 17 columns, each 10 brighter than the last
    assert image_key(Image.fromarray(rising)) == "f" * 64
    assert image_key(Image.fromarray(rising[:, ::-1])) == "0" * 64


def saved_again(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=40)
    return Image.open(content)


def test_a_picture_saved_again_or_resized_is_near_and_another_is_not() -> None:
    pictures = [picture(seed, 160, 120) for seed in range(8)]
    keys = [image_key(image) for image in pictures]
    changed = [image_key(saved_again(pictures[3])), image_key(pictures[5].resize((80, 60)))]
    assert nearest(changed, keys) == [3, 5]
    assert nearest([image_key(picture(99, 160, 120))], keys) == [None]
    assert nearest(keys[:1], []) == [None]


def test_flat_pictures_are_compared_with_none() -> None:
    flat = [image_key(Image.new("RGB", (60, 60), colour)) for colour in ("red", "blue")]
    assert flat[0] == flat[1] and nearest(flat[:1], flat[1:]) == [None]
