"""Specs, recipes, --set: one definition of every option, refused early when wrong."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from edgeft.budget import parse_budget
from edgeft.cli import group
from edgeft.errors import UsageError
from edgeft.options import field_of, spelled
from edgeft.recipe import (
    SECTIONS,
    EvalSpec,
    ExportSpec,
    TuneSpec,
    as_settings,
    describe,
    gather,
    make_spec,
    options_of,
    read_recipe,
)

TUNE = {"model": "m", "data": "d"}


def write(folder: Path, text: str) -> Path:
    place = folder / "job.toml"
    place.write_text(text, encoding="utf-8")
    return place


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_every_option_is_a_key_of_the_recipe_with_the_same_name(section: str) -> None:
    """The command's own parameters are the fields of its spec, and nothing but --recipe, --set, -v and -q besides."""
    offered = {option.name for option in group.commands[section].params}
    fields = {field.name for field in dataclasses.fields(SECTIONS[section])}
    assert offered == fields | {"recipe", "settings", "verbose", "quiet"}
    for option in group.commands[section].params:
        if option.name in fields and not options_of(SECTIONS[section])[option.name].argument:
            assert f"--{spelled(option.name)}" in option.opts


def test_a_word_of_python_is_an_option_like_any_other(tmp_path: Path) -> None:
    assert (spelled("raise_"), field_of("raise"), field_of("keep-float")) == ("raise", "raise_", "keep_float")
    recipe = write(tmp_path, '[tune]\nmodel = "m"\ndata = "d"\nraise = "16bit"\nkeep-float = ["softmax", "head.*"]\n')
    spec = gather(None, recipe).spec("tune")
    assert (spec.raise_, spec.keep_float) == ("16bit", ("softmax", "head.*"))
    assert 'raise = "16bit"' in describe(spec)
    assert gather("tune", None, ["raise=16bit"], TUNE).spec("tune").raise_ == "16bit"
    assert gather("tune", None, [], {**TUNE, "raise_": "16bit"}).spec("tune").raise_ == "16bit"


def test_the_options_of_the_contract_are_there() -> None:
    tune = (
        "model data task profile scheme freeze epochs qat_epochs lr batch_size max_length image_size augment "
        "class_weights patience search device precision seed workers report_to output resume"
    )
    assert set(tune.split()) <= set(options_of(TuneSpec))
    assert {"run", "profile", "output", "variants", "opset", "archive", "samples"} <= set(options_of(ExportSpec))
    evaluation = (
        "bundle profile preset variants limit scenario provider threads meter energy_model budget junit output format "
        "resume"
    )
    assert set(evaluation.split()) <= set(options_of(EvalSpec))


def test_later_wins_over_earlier(tmp_path: Path) -> None:
    recipe = write(tmp_path, '[tune]\nmodel = "m"\ndata = "d"\nepochs = 5\nseed = 5\nqat-epochs = 5\n')
    found = gather("tune", recipe, ["tune.seed=6", "qat_epochs=6"], {"qat_epochs": "0.5"})
    spec = found.spec("tune")
    assert (spec.epochs, spec.seed, spec.qat_epochs, spec.batch_size) == (5.0, 6, 0.5, 32)
    assert found.origins["tune"]["epochs"] == "recipe"
    assert found.origins["tune"]["qat_epochs"] == "command line"


def test_the_command_line_can_switch_off_what_the_recipe_switches_on(tmp_path: Path) -> None:
    recipe = write(tmp_path, "[export]\narchive = true\n")
    assert gather("export", recipe, [], {"run": "r", "archive": False}).spec("export").archive is False


def test_dashes_and_underscores_are_the_same_key(tmp_path: Path) -> None:
    for key in ("batch-size", "batch_size"):
        recipe = write(tmp_path, f'[tune]\nmodel = "m"\ndata = "d"\n{key} = 8\n')
        assert read_recipe(recipe).spec("tune").batch_size == 8
    recipe = write(tmp_path, "[tune]\nbatch-size = 8\nbatch_size = 9\n")
    with pytest.raises(UsageError, match="twice"):
        read_recipe(recipe)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tune]\nepoch = 1\n", "no setting 'epoch'; did you mean 'epochs'"),
        ("[tuen]\n", "did you mean 'tune'"),
        ("tune = 3\n", r"write \[tune\]"),
        ("[tune]\nepochs = -1\n", "a number of at least 0"),
        ("[eval]\npreset = 'quik'\n", "did you mean 'quick'"),
        ("[tune\n", "is not TOML"),
        ("[export]\nvariants = ['int8', 'int9']\n", "'int9' is not one of them"),
    ],
)
def test_a_wrong_recipe_is_refused_by_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_recipe(write(tmp_path, text))
    assert "job.toml" in str(caught.value) and caught.value.exit_code == 2


def test_a_typo_in_another_section_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="eval has no setting"):
        gather("tune", write(tmp_path, "[eval]\nlimits = 3\n"))


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no recipe"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("lr", "write --set key=value"),
        ("tnue.lr=1", "did you mean 'tune'"),
        ("eval.limit=3", "no effect in edgeft tune"),
        ("l_r=1", "did you mean 'lr'"),
        ("lr=0", "above 0"),
        ("lr=nan", "above 0"),
        ("raise_=16bit", "did you mean 'raise'"),
        ("keep-floats=all", "did you mean 'keep-float'"),
        ("lr_=1", "did you mean 'lr'"),
    ],
)
def test_wrong_set_pairs(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        gather("tune", None, [setting])


def test_names_are_those_a_person_types_and_from_python_those_of_python() -> None:
    for key in ("raise", "keep-float", "keep_float"):
        value = "16bit" if key == "raise" else "head"
        assert gather("tune", None, [f"{key}={value}"]).values["tune"]
    assert make_spec(TuneSpec, {**TUNE, "raise_": "16bit"}).raise_ == "16bit"
    with pytest.raises(UsageError, match="did you mean 'keep_float'"):
        make_spec(TuneSpec, {**TUNE, "keep_floats": "head"})


def test_set_without_a_section_is_refused_for_edgeft_run() -> None:
    with pytest.raises(UsageError, match="tune.KEY"):
        gather(None, None, ["lr=1"])


VALUES: list[tuple[str, Any, Any]] = [
    ("epochs", "2.5", 2.5),
    ("epochs", 2, 2.0),
    ("batch_size", "auto", "auto"),
    ("batch_size", "16", 16),
    ("freeze", "last:2", "last:2"),
    ("freeze", "backbone:1,last:2:1,none", "backbone:1,last:2:1,none"),
    ("freeze", "regex:^layer[.]", "regex:^layer[.]"),
    ("device", "cuda:1", "cuda:1"),
    ("resume", "true", True),
    ("output", "out", Path("out")),
]


@pytest.mark.parametrize(("name", "given", "typed"), VALUES)
def test_values_are_read_from_text_and_from_toml_alike(name: str, given: Any, typed: Any) -> None:
    assert getattr(make_spec(TuneSpec, {**TUNE, name: given}), name) == typed


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("epochs", "many"), ("epochs", float("inf")), ("epochs", True), ("seed", 1.0), ("seed", -1), ("batch_size", 0),
        ("batch_size", "big"), ("freeze", "last:0"), ("freeze", "backbon"), ("freeze", "backbone,none"),
        ("freeze", "regex:("), ("device", "gpu"), ("precision", "fp8"), ("resume", "maybe"), ("model", ""),
        ("image_size", 4), ("max_length", "1"), ("class_weights", "balance"), ("label_smoothing", 1.0),
    ],
)  # fmt: skip
def test_wrong_values_are_refused(name: str, given: Any) -> None:
    with pytest.raises(UsageError, match=name):
        make_spec(TuneSpec, {**TUNE, name: given})


def test_scenarios() -> None:
    assert make_spec(EvalSpec, {"bundle": "b", "scenario": "paced:100"}).scenario == "paced:100"
    for wrong in ("paced", "paced:0", "paced:-1", "stream", 3):
        with pytest.raises(UsageError):
            make_spec(EvalSpec, {"bundle": "b", "scenario": wrong})


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="edgeft tune needs --data"):
        make_spec(TuneSpec, {"model": "m"})
    with pytest.raises(UsageError, match="edgeft eval needs BUNDLE"):
        make_spec(EvalSpec, {})


def test_paths_in_a_recipe_are_relative_to_it_when_they_exist_there(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "model.py").write_text("")
    text = '[tune]\nmodel = "model.py:make"\ndata = "photos"\noutput = "photos"\n'
    spec = read_recipe(write(tmp_path, text)).spec("tune")
    assert spec.model == f"{tmp_path / 'model.py'}:make"
    assert spec.data == str(tmp_path / "photos")
    assert spec.output == Path("photos")  # results go where the command is run
    spec = read_recipe(write(tmp_path, '[tune]\nmodel = "google/vit"\ndata = "elsewhere"\n')).spec("tune")
    assert (spec.model, spec.data) == ("google/vit", "elsewhere")


@pytest.mark.parametrize("more", ["", "@wall", "@USB-C input"])
def test_a_power_log_lies_beside_its_recipe_whatever_it_covers(tmp_path: Path, more: str) -> None:
    (tmp_path / "power.csv").write_text("t_unix_s,watt\n")
    recipe = write(tmp_path, f'[eval]\nbundle = "b"\nmeter = "power.csv{more}"\n')
    assert read_recipe(recipe).spec("eval").meter == f"{tmp_path / 'power.csv'}{more}"


def test_a_folder_named_like_a_profile_does_not_hide_it(tmp_path: Path) -> None:
    (tmp_path / "generic").mkdir()
    recipe = write(tmp_path, '[tune]\nmodel = "m"\ndata = "d"\nprofile = "generic"\n')
    assert read_recipe(recipe).spec("tune").profile == "generic"


def test_described_settings_are_a_recipe_again(tmp_path: Path) -> None:
    spec = make_spec(TuneSpec, {**TUNE, "lr": 1e-5, "data": 'a "b" \\c', "epochs": 0.25})
    again = read_recipe(write(tmp_path, describe(spec))).spec("tune")
    assert again == spec


def test_settings_are_plain_json() -> None:
    settings = as_settings(make_spec(ExportSpec, {"run": "r", "variants": "original, int8"}))
    assert settings["run"] == "r" and settings["variants"] == ["original", "int8"]


def test_specs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_spec(TuneSpec, TUNE).epochs = 4  # type: ignore[misc]


def test_budgets_in_base_units() -> None:
    limits = parse_budget("accuracy>=-1pt, latency_p90<=20ms,energy<=30mJ,size<=10MB,memory<=2MiB")
    assert [(limit.quantity, limit.bound) for limit in limits] == [
        ("accuracy", -0.01), ("latency_p90", 0.02), ("energy", 0.03), ("size", 10e6), ("memory", 2097152.0),
    ]  # fmt: skip
    assert limits[0].holds(-0.005) and not limits[0].holds(-0.02)
    assert limits[1].holds(0.02) and not limits[1].holds(0.021)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency<=20ms", "did you mean 'latency_p"),
        ("latency_p90<=20", "has no unit; write one of s, ms, us, x"),
        ("accuracy>=0.92", "has no unit; write one of pt, %"),
        ("accuracy>=101%", "accuracy lies between 0 % and 100 %"),
        ("accuracy>=-1%", "accuracy lies between 0 % and 100 %"),
        ("accuracy>=-101pt", "differ by at most 100 points"),
        ("latency_p50<=0ms", "no model takes nothing"),
        ("latency_p90<=-20ms", "no model takes nothing"),
        ("energy<=0x", "no model takes nothing"),
        ("size<=-0.3x", "no model takes nothing"),
        ("latency_p90<=20MB", "not counted in 'MB'"),
        ("latency_p90>=20ms", "turn >= round"),
        ("accuracy<=-1pt", "turn <= round"),
        ("", "is not a limit"),
    ],
)
def test_wrong_budgets(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_budget(text)


def test_a_budget_against_the_baseline_or_absolute() -> None:
    limits = parse_budget("accuracy>=92.5%,accuracy>=-1pt,latency_p90<=0.5x,size<=0.3X,energy<=1J")
    assert [(limit.bound, limit.compares) for limit in limits] == [
        (0.925, "value"), (-0.01, "difference"), (0.5, "ratio"), (0.3, "ratio"), (1.0, "value"),
    ]  # fmt: skip


def test_a_recipe_has_a_section_for_the_budget(tmp_path: Path) -> None:
    recipe = write(tmp_path, '[eval]\nbundle = "b"\n[budget]\naccuracy = ">=-1pt"\nlatency_p90 = "<= 20ms"\n')
    spec = gather("eval", recipe).spec("eval")
    assert spec.budget == "accuracy>=-1pt,latency_p90<= 20ms"
    assert [limit.bound for limit in parse_budget(spec.budget)] == [-0.01, 0.02]
    alone = write(tmp_path, '[budget]\nsize = "<=10MB"\n')
    assert gather("eval", alone, [], {"bundle": "b"}).spec("eval").budget == "size<=10MB"
    assert gather("eval", alone, [], {"bundle": "b", "budget": "size<=1MB"}).spec("eval").budget == "size<=1MB"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[budget]\nlatency = "<=20ms"\n', "has a key 'latency'.*did you mean 'latency_p"),
        ("[budget]\nsize = 10\n", 'write it as "<=20ms"'),
        ('[budget]\nsize = "<=10"\n', "has no unit"),
        ("[budget]\n", "budget is no section"),
        ('budget = "size<=10MB"\n', "budget is no section"),
        ('[eval]\nbudget = "size<=1MB"\n[budget]\nsize = "<=1MB"\n', "keep one of them"),
    ],
)
def test_a_wrong_section_of_the_budget_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        gather("eval", write(tmp_path, text))


def test_a_wrong_budget_is_refused_before_work_starts() -> None:
    with pytest.raises(UsageError, match="budget"):
        make_spec(EvalSpec, {"bundle": "b", "budget": "speed>=2x"})
