"""--keep-float: what it may say, and what "auto" finds."""

import numpy as np
import pytest

from edgeft.errors import ModelError, UsageError
from edgeft.quant.choice import Wish, automatic, named, read_wish
from edgeft.quant.feed import Tried
from tests.quant.nets import text
from tests.quant.test_sensitivity import spoiled


def test_names_and_auto_are_told_apart() -> None:
    assert read_wish(None, None) == Wish() and not Wish()
    assert read_wish(("softmax", "head*"), None) == Wish(("softmax", "head*"))
    wish = read_wish(("softmax", "auto"), "accuracy>=-0.5pt")
    assert wish and wish.patterns == ("softmax",) and wish.limit is not None and wish.limit.bound == -0.005


@pytest.mark.parametrize(
    ("names", "budget", "message"),
    [
        (("auto",), None, "must know how much accuracy may be lost; add --budget"),
        (("softmax",), "accuracy>=-1pt", "there is no auto; add --keep-float auto"),
        (None, "accuracy>=-1pt", "there is no auto"),
        (("auto",), "size<=10MB", "float layers can keep accuracy and nothing else"),
        (("auto",), "accuracy>=-1pt,latency_p90<=20ms", "edgeft eval checks the others"),
    ],
)
def test_one_needs_the_other(names: tuple[str, ...] | None, budget: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_wish(names, budget)


def test_reasons_say_what_was_typed() -> None:
    assert named(text()[0], Wish(("gelu", "head"))) == {
        "gelu": "kept float by --keep-float gelu",
        "linear_2": "kept float by --keep-float head",
    }


def found_for(bound: str):  # type: ignore[no-untyped-def]
    """Auto on the net with one spoiled layer; the right labels are what the float model answers."""
    model, batch = spoiled()
    model.set_mode("float")
    labels = model(**batch).argmax(1).numpy()
    model.set_mode("train")
    wish = read_wish(("auto",), bound)
    tried = Tried((batch,), labels)
    return automatic(model, wish, tried, lambda logits, right: float(np.mean(logits.argmax(1) == right)))


def test_auto_keeps_the_one_layer_that_costs_the_accuracy() -> None:
    found = found_for("accuracy>=-7pt")  # one of 16 answers may change
    assert list(found.reasons) == ["linear"]
    assert found.reasons["linear"] == "kept float by --keep-float auto for accuracy>=-7pt"
    assert found.record["score_float"] == 1.0 and found.record["n"] == 16 and found.record["layers"] == 6
    assert found.record["score_all_quantized"] < 0.93 <= found.record["score"]
    assert "1 of 6 layers stay float (linear)" in found.line()


def test_auto_keeps_nothing_when_the_budget_holds_already() -> None:
    assert found_for("accuracy>=-100pt").reasons == {}


def test_auto_says_when_no_choice_is_enough() -> None:
    with pytest.raises(ModelError, match=r"with every layer in float the model keeps \+0.00 points on 16 samples"):
        found_for("accuracy>=+1pt")
