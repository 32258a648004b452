"""The command line: options and late imports; what becomes of an error is in edgeft.outcome.

Options of tune, export and eval are generated from the fields of their specs (edgeft.specs). Nothing heavy is
imported before a command really starts, so that `edgeft --help` answers at once on a slow board.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from edgeft import __version__, console, outcome, ranks
from edgeft.errors import MachineError, did_you_mean
from edgeft.options import Option, spelled
from edgeft.recipe import describe, gather, options_of
from edgeft.specs import SECTIONS

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
Command = Callable[..., Any]


class _Group(click.Group):
    """Suggests the command that was meant."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is None and not ctx.resilient_parsing:
            raise click.UsageError(f"there is no command {cmd_name!r}; {did_you_mean(cmd_name, self.commands)}", ctx)
        return found


def _verbosity(command: Command) -> Command:
    """-v and -q, before or after the name of the command."""

    def quieter(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            console.set_verbosity(1 if param.name == "verbose" else -1)

    for short, name, text in (("-q", "quiet", "results and warnings only"), ("-v", "verbose", "more detail")):
        command = click.option(
            short, f"--{name}", name, is_flag=True, expose_value=False, callback=quieter, help=f"Print {text}."
        )(command)
    return command


def _options(section: str) -> Callable[[Command], Command]:
    """Every field of the section's spec as an option, and --recipe and --set."""

    def decorate(command: Command) -> Command:
        command = _verbosity(_recipe_options(required=False)(command))
        for name, known in reversed(options_of(SECTIONS[section]).items()):
            command = _option(section, name, known)(command)
        return command

    return decorate


def _option(section: str, name: str, known: Option) -> Callable[[Command], Command]:
    if known.argument:
        return click.argument(name, required=False, metavar=name.upper())
    flags = [f"-{known.short}"] if known.short else []
    long = f"--{spelled(name)}"
    if known.flag:
        return click.option(*flags, f"{long}/--no-{long[2:]}", name, default=None, help=_help(section, name, known))
    return click.option(*flags, long, name, metavar=known.metavar, help=_help(section, name, known))


def _help(section: str, name: str, known: Option) -> str:
    default = getattr(SECTIONS[section], name, None)
    text = known.help[0].upper() + known.help[1:]
    if default is None or default is False:
        return f"{text}."
    shown = ",".join(default) if isinstance(default, tuple) else default
    return f"{text}. [default: {shown:g}]" if isinstance(shown, float) else f"{text}. [default: {shown}]"


def _recipe_options(required: bool) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        command = click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one key of the recipe; repeatable."
        )(command)
        return click.option(
            "--recipe", required=required, metavar="FILE", type=click.Path(path_type=Path), help="A TOML recipe."
        )(command)

    return decorate


@click.group(cls=_Group, context_settings=_SETTINGS)
@click.version_option(__version__, message="edgeft %(version)s")
@_verbosity
def group() -> None:
    """Fine-tune a pretrained model for one device, export it to ONNX, and measure on the device what it cost and
    gained."""


@group.command("tune", short_help="Fine-tune, then quantization-aware for one target.")
@_options("tune")
def _tune(recipe: Path | None, settings: Sequence[str], **given: Any) -> None:
    """Fine-tune a pretrained model with a frozen backbone, then quantization-aware for one target."""
    _do("tune", recipe, settings, given)


@group.command("export", short_help="Write the bundle of ONNX models a device needs.")
@_options("export")
def _export(recipe: Path | None, settings: Sequence[str], **given: Any) -> None:
    """Write the bundle of ONNX models a device needs from RUN, and prove on the files what they are."""
    _do("export", recipe, settings, given)


@group.command("eval", short_help="Measure every variant against the original, on the device.")
@_options("eval")
def _eval(recipe: Path | None, settings: Sequence[str], **given: Any) -> None:
    """Measure every variant of BUNDLE on this machine against the original."""
    _do("eval", recipe, settings, given)


def _do(section: str, recipe: Path | None, settings: Sequence[str], given: dict[str, Any]) -> None:
    from edgeft import packages, steps

    if section != "tune":
        ranks.refuse_several(section)
    asked = {name: value for name, value in given.items() if value is not None}
    resolved = gather(section, recipe, settings, asked)
    spec = resolved.spec(section)
    if section == "eval" and spec.format != "text":
        console.set_verbosity(min(console.verbosity(), -1))  # stdout is for the document alone
    console.say(describe(spec, resolved.origins[section]))
    steps.check_names(spec)
    if section == "eval" and not spec.dry_run:
        packages.need("onnxruntime")
    steps.do(spec)


@group.command("run", short_help="tune, export and eval of one recipe, resumable.")
@_recipe_options(required=True)
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing.")
@_verbosity
def _run(recipe: Path, settings: Sequence[str], dry_run: bool) -> None:
    """Do tune, export and eval of one recipe, one after the other. A second call goes on where the first stopped."""
    from edgeft import pipeline

    ranks.refuse_several("run")
    pipeline.run(gather(None, recipe, settings), dry_run)


@group.command("compare", short_help="Put results side by side.")
@click.argument("results", nargs=-1, required=True, metavar="RESULT...")
@click.option("--format", "form", default="text", metavar="text|markdown|html", help="What is printed. [default: text]")
@_verbosity
def _compare(results: Sequence[str], form: str) -> None:
    """Put results of several machines, bundles or dates side by side."""
    from edgeft.report.compare import compare

    console.result(compare(results, form))


@group.command("explain", short_help="What the original and the quantized model of a run look at.")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--samples", default="8", metavar="N|ID,...", help="How many test examples, or which. [default: 8]")
@click.option("--seed", default=0, type=click.IntRange(0, 2**32 - 1), metavar="N",
              help="Seed of the choice. [default: 0]")  # fmt: skip
@click.option("-o", "--output", default="explained", metavar="FOLDER", type=click.Path(path_type=Path),
              help="Folder that is written. [default: explained]")  # fmt: skip
@_verbosity
def _explain(run: Path, samples: str, seed: int, output: Path) -> None:
    """Hide part after part of test examples of RUN, and draw how much the answers of the original and of the quantized
    model hang on each, side by side."""
    from edgeft.explaining.run import explain

    explain(run, samples, seed, output)


@group.group("profiles", cls=_Group, short_help="Hardware profiles: list, show NAME, detect.")
def _profiles() -> None:
    """Hardware profiles: which number grids, providers and threads a target wants."""


@_profiles.command("list")
@_verbosity
def _profiles_list() -> None:
    """Print the name and title of every profile."""
    from edgeft import profile

    console.result(profile.describe_all())


@_profiles.command("show")
@click.argument("name", metavar="NAME|FILE")
@_verbosity
def _profiles_show(name: str) -> None:
    """Print a profile with the sources of its numbers."""
    from edgeft import profile

    console.result(profile.text_of(name))


@_profiles.command("detect")
@_verbosity
def _profiles_detect() -> None:
    """Name the profile that fits this machine, why, and what else was considered."""
    from edgeft.detect import describe_detection, detection

    console.result(describe_detection(detection()))


@group.command("doctor", short_help="What this machine can do, and what to type for what is missing.")
@_verbosity
def _doctor() -> None:
    """Print packages, execution providers, int8 path, energy meters, clocks and memory, and what to type to fix what
    is missing."""
    from edgeft import doctor

    findings = doctor.examine()
    console.result(doctor.describe(findings))
    broken = [finding for finding in findings if finding.blocks_eval]
    if broken:
        raise MachineError(f"edgeft eval cannot work here: {broken[0].state}", broken[0].fix)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The command `edgeft`: run it and leave with its exit code."""
    outcome.leave(outcome.of(group, list(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    main()
