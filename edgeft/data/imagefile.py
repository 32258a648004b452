"""One image file to RGB pixels, the same way in tune, calibration and eval; and what a file that is none really is.

Rules, for every format Pillow reads:
- the first frame of a file with several (GIF, animated PNG, MPO);
- turned upright by its EXIF orientation;
- transparency laid over a background colour (the preprocessing names it; white unless said otherwise);
- CMYK, palette, gray and 1-bit images converted by Pillow;
- 16-bit gray keeps its high byte, which is what Pillow does with 16-bit colour. 32-bit and floating-point images are
  refused, since nothing says which range of values they use.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeft.errors import DataError, MachineError

if TYPE_CHECKING:
    from PIL.Image import Image

WHITE = (255, 255, 255)

# Suffixes of files that are meant to be images; others are looked into (see `looks_like_image`).
_SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .png .apng .gif .bmp .dib .webp .tif .tiff .ppm .pgm .pbm .pnm .mpo .avif .heic .heif"
)
SUFFIXES = frozenset(_SUFFIXES.split())
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
_EXIF_ORIENTATION = 0x0112
# Key in Image.info of images that were turned upright.
TURNED = "edgeft_turned"


def pillow() -> Any:
    """The package PIL, or a MachineError that says how to get it."""
    try:
        import PIL.Image
        import PIL.ImageFile
        import PIL.ImageOps
    except ImportError as error:
        raise MachineError("reading images needs the module PIL, which is missing", "pip install Pillow") from error
    # Some packages switch this on when imported; half a photograph would then be gray below and nobody told.
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False
    return PIL


def looks_like_image(head: bytes) -> bool:
    """Whether the first bytes of a file (16 are enough) are those of a common image format."""
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def decode(content: bytes, name: str, background: tuple[int, int, int] = WHITE) -> Image:
    """The whole first frame as an RGB image, mode "RGB", upright.

    Raises DataError that names the file `name` and says what it really is when it cannot be decoded whole.
    """
    upright, _ = decode_frame(content, name)
    return to_rgb(upright, name, background)


def decode_frame(content: bytes, name: str) -> tuple[Image, int]:
    """The first frame in its own mode, upright, and the number of frames. Raises DataError as `decode` does."""
    pil = pillow()
    try:
        image = pil.Image.open(io.BytesIO(content))
        frames = int(getattr(image, "n_frames", 1))
        image.load()
        if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
            image = pil.ImageOps.exif_transpose(image)
            image.info[TURNED] = True
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        raise DataError(f"{name} cannot be read: it is {what_is(content, error)}") from error
    return image, frames


def to_rgb(image: Image, name: str, background: tuple[int, int, int] = WHITE) -> Image:
    """Any mode to "RGB". Raises DataError for 32-bit and floating-point images."""
    pil = pillow()
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        image = pil.Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F"):
        raise DataError(
            f"{name} has 32 bits a pixel (mode {image.mode}), and nothing says which values are black and white",
            "convert it to 8 or 16 bits",
        )
    try:
        if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
            return _over(image, background)
        return image.convert("RGB")
    except ValueError as error:
        raise DataError(f"{name} has the colour mode {image.mode}, which has no RGB", "convert it to RGB") from error


def _over(image: Image, background: tuple[int, int, int]) -> Image:
    """A transparent image laid over a colour."""
    pil = pillow()
    if image.mode == "La":
        image = image.convert("LA")
    sheet = pil.Image.new("RGBA", image.size, (*background, 255))
    laid: Image = pil.Image.alpha_composite(sheet, image.convert("RGBA")).convert("RGB")
    return laid


def open_rgb(path: Path, background: tuple[int, int, int] = WHITE) -> Image:
    """Read and decode one file. Raises DataError when it is missing or cannot be decoded."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror or error}") from error
    return decode(content, str(path), background)


def what_is(content: bytes, error: Exception | None = None) -> str:
    """What a file that is no whole image really is, in a few words."""
    head = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not content:
        return "an empty file"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (git lfs pull fetches the file)"
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if head.startswith((b"<?xml", b"<svg", b"<error")):
        return "an SVG or XML text" if b"<svg" in content[:4096].lower() else "an XML text"
    if head.startswith((b"{", b"[")):
        return "a JSON text"
    if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftypheif"):
        return "a HEIC photograph, which Pillow does not read (convert it to JPEG)"
    if content[4:12] in (b"ftypavif", b"ftypavis"):
        return "an AVIF image that this Pillow does not read (install Pillow 11.3 or later, or convert it to JPEG)"
    if content.startswith(b"%PDF"):
        return "a PDF"
    if not content.strip(b"\x00"):
        return "nothing but zero bytes"
    if error is not None and "DecompressionBomb" in type(error).__name__:
        return "an image too large to decode safely"
    if looks_like_image(content[:16]):
        return f"cut off or damaged ({_reason(error)})"
    return "no image"


def _reason(error: Exception | None) -> str:
    text = str(error).strip() if error is not None else ""
    if "cannot identify image file" in text:
        return "its header is damaged"
    return text or "it does not decode"
