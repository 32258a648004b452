"""Random tags for two taggers of the same sentences; seqeval_answers.jsonl has what seqeval 1.2.2 answers."""

from __future__ import annotations

import random

TAGS = ("O", "O", "O", "B-a", "I-a", "B-bc", "I-bc", "B-d", "I-d")
SEEDS = range(20)


def random_tags(seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """(right, predicted): up to 12 sentences of up to 15 words; I- tags stand anywhere, as models put them."""
    rng = random.Random(seed)
    right, predicted = [], []
    for _ in range(rng.randint(1, 12)):
        sentence = [rng.choice(TAGS) for _ in range(rng.randint(1, 15))]
        right.append(sentence)
        predicted.append([tag if rng.random() < 0.7 else rng.choice(TAGS) for tag in sentence])
    return right, predicted
