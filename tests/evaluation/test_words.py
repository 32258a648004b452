"""Comparing and showing tagged sentences, without a model."""

from __future__ import annotations

import numpy as np
import pytest

from edgeft.data.dataset import Example
from edgeft.data.words import Words
from edgeft.evaluation import accuracy, claims
from edgeft.evaluation.accuracy import Answers
from edgeft.evaluation.changed import changed
from edgeft.report import markdown, variant_html
from edgeft.tasks import TASKS
from edgeft.tasks.task import labels_of, owners_of

NAMES = ("O", "B-a", "I-a")
TASK = TASKS.load("token-classification")
# Two windows of a sentence of four words, and a sentence of two.
QUERIES = [
    Example("s#1", Words(("New", "York", "is"), 0, 2), (1, 2), whole="s"),
    Example("s#2", Words(("York", "is", "old"), 1, 3), (0, 0), whole="s"),
    Example("t", Words(("no", "Rome")), (0, 1)),
]
LABELS = labels_of(QUERIES)
POSITIONS = np.array([0, 0, 1, 1, 2, 2])


def logits(tags: list[int]) -> np.ndarray:
    return 4 * np.eye(3, dtype=np.float32)[tags]


def answers(new: list[int]) -> Answers:
    given = {"original": logits(LABELS.tolist()), "int8": logits(new)}
    return Answers(POSITIONS, LABELS, given, {}, owners_of(QUERIES))


def compared(new: list[int]) -> dict:
    scored = accuracy.score_all(TASK, answers(new), NAMES)
    return accuracy.compare(TASK, scored["original"], scored["int8"], LABELS, 3, seed=0)


def test_examples_are_counted_and_not_their_parts():
    assert answers(LABELS.tolist()).n == 2


def test_f1_is_compared_by_resampled_sentences():
    found = compared([1, 2, 0, 0, 0, 0])  # Rome is lost: 1 of 2 entities found, F1 2/3
    assert found["metric"] == "f1" and (found["b"], found["c"], found["n"]) == (1, 0, 2)
    assert found["diff"] == pytest.approx(2 / 3 - 1)
    # resamples of two sentences: both the first (no difference), both the second (from 1 to 0), one of each
    assert found["ci95"] == pytest.approx([-1.0, 0.0])
    assert found["agreement"] == 5 / 6 and "mcnemar_p" not in found and "macro_f1" not in found
    assert found["verdict"] == "undecided" and found["needs_n"] > 2


def test_equal_answers_have_an_interval_all_the_same():
    found = compared(LABELS.tolist())
    # Agresti-Min with no answer changed on 2 examples: 1.959964 * sqrt(1) / 4
    assert found["diff"] == 0 and found["ci95"] == pytest.approx([-1.959964 / 4, 1.959964 / 4])


def test_claims_say_of_what_the_points_are():
    text = claims.claims({"int8": {"accuracy": compared([1, 2, 0, 0, 0, 0])}}, "original", [])[0]["text"]
    assert text.startswith("whether int8 is worse than original by 1.00 points of F1 is undecided")


def test_changed_sentences_are_shown_word_by_word():
    given = answers([1, 0, 0, 0, 0, 0])
    predicted = {name: each.argmax(1) for name, each in given.logits.items()}
    told = changed("original", predicted, given, QUERIES, NAMES)["variants"]["int8"]
    assert told["n"] == 2 and {one["id"] for one in told["samples"]} == {"s#1", "t"}
    one = next(one for one in told["samples"] if one["id"] == "s#1")
    assert one["tokens"] == ["New", "York"] and one["tags"] == ["B-a", "I-a"]
    assert (one["before"], one["after"], one["position"]) == (["B-a", "I-a"], ["B-a", "O"], 0)
    # e^4 / (e^4 + 2) for each word; after it, 1 / (e^4 + 2) for the second
    right, wrong = np.exp(4) / (np.exp(4) + 2), 1 / (np.exp(4) + 2)
    assert one["score_before"] == pytest.approx(right, abs=1e-6)
    assert one["score_after"] == pytest.approx((right + wrong) / 2, abs=1e-6)


def test_the_pages_show_what_is_right_and_what_both_say():
    one = {
        "id": "s", "tokens": ["New", "<York>", "is"], "tags": ["B-a", "I-a", "O"], "before": ["B-a", "I-a", "O"],
        "after": ["B-a", "O", "O"], "score_before": 0.9, "score_after": 0.5,
    }  # fmt: skip
    cells = markdown._sentence(one)
    assert cells[1:4] == ("New (B-a) <York> (I-a)", "New (B-a) <York> (I-a)", "New (B-a)")
    page = variant_html._card(one, "original", "int8")
    assert "&lt;York&gt;<small>I-a</small>" in page and '<span class="no">O</span>' in page
    assert " is</blockquote>" in page
