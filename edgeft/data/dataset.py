"""Examples with labels, in splits: what every reader returns and everything else takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeft.data.words import Words


@dataclass(frozen=True)
class Example:
    """One example: a stable `id` (path inside the data folder, or file and row), its content and its label.

    content   path of a file (image, sound), the text itself, or the words of a sentence
    label     what is right, which belongs to the task (see edgeft.data.targets): index into the label names of its
              Dataset, or a tuple of such, one for each word that is asked for
    sha256    of the file's bytes, of the UTF-8 text or of the words, as they were when read; "" when nobody asked
    group     of --group-column, whose examples are all in one split; "" without one
    whole     id of the example it is a part of; "" for a whole one
    slice     of --slice-column, for which figures are given apart; "" without one
    """

    id: str
    content: Path | str | Words
    label: Any
    sha256: str = field(default="", compare=False)
    group: str = field(default="", compare=False)
    whole: str = field(default="", compare=False)
    slice: str = field(default="", compare=False)


@dataclass(frozen=True)
class Dataset:
    """All examples of a job.

    content      what the examples are: "image", "text", "words" or "audio"
    target       what their labels are: "label" or "tags", see edgeft.data.targets
    labels       label names by index; everything a person sees speaks in names
    splits       "train", "validation", "test" -> examples; every split is there and none is empty
    source       what the user gave
    fingerprint  SHA-256 over split names, example ids, label names and contents
    split_rule   how the splits came about, for the record
    notices      lines a person should read: files left out, counts, what was decided
    checks       the same as figures, for the record: see edgeft.data.checks, images and sounds
    """

    content: str
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Example, ...]]
    source: str
    fingerprint: str
    split_rule: str
    notices: tuple[str, ...] = field(default=())
    checks: Mapping[str, Any] = field(default_factory=dict)
    target: str = "label"
