"""`edgeft export`: RUN/ -> graphs -> passes -> files -> gates -> BUNDLE/.

Every file is judged after it is written, by what onnxruntime does with it. The bundle stands even when a gate fails:
it is marked, and the command ends with exit code 3.
"""

from __future__ import annotations

from edgeft import console, files
from edgeft.bundle import Bundle, pack
from edgeft.exporting import acts
from edgeft.exporting.again import Again
from edgeft.exporting.ceilings import choose_versions
from edgeft.exporting.document import manifest
from edgeft.exporting.grids import find_grids, trained_state
from edgeft.exporting.report import write_report
from edgeft.exporting.samples import encode, held_out
from edgeft.exporting.sources import Sources
from edgeft.exporting.variants import Maker
from edgeft.quant.choice import read_wish
from edgeft.runfolder import Run
from edgeft.specs import ExportSpec
from edgeft.tasks import TASKS
from edgeft.tasks.reference import write_reference

REPORT = "export.md"


def export(spec: ExportSpec) -> Bundle | None:
    """Write the bundle `spec` asks for and return it; None after --dry-run.

    Raises what edgeft.errors lists. GateFailed comes last, when everything else is written.
    """
    run = Run.open(spec.run)
    profile = acts.find_profile(spec.profile, run)
    asked = acts.choose_variants(run, profile, spec.variants)
    wish = read_wish(spec.keep_float, spec.budget, spec.raise_)
    grids = find_grids(run, profile, asked, wish)
    acts.refuse_sensitivity(spec.sensitivity, grids)
    trained, stored = (grids.trained, grids.stored) if grids is not None else (None, None)
    variants = grids.variants if grids is not None else asked
    versions = choose_versions(stored, spec.opset, profile)
    acts.refuse_place(spec.output, spec.run)
    task = TASKS.load(run.task)
    original_is = acts.original_is(run)
    if spec.dry_run:
        for line in acts.plan_lines(run, profile, grids, versions, variants, spec.output):
            console.result(line)
        return None
    acts.say_change(run, profile, grids, asked)

    preprocessing = acts.device_preprocessing(run, stored)
    encoder = task.encoder(preprocessing, run.path)
    examples = held_out(run, spec.samples)
    one_by_one = stored is not None and stored.one_by_one
    trial = encode(encoder, task.queries(examples, encoder), int(run.document["seed"]), one_by_one)
    inputs = acts.device_shapes(encoder.inputs, stored)
    output = acts.device_output(task, len(run.labels), inputs, stored)
    # Graphs are captured as they were while tuning, with free sizes: the names of their parts depend on it.
    trained_on = task.encoder(run.preprocessing, run.path)
    sources = Sources(run, task.auto_model, trained_on.inputs, trial.example())
    traced_with = trial.example(rows=1 if stored is not None and stored.static_shapes else 2)
    state, title = trained_state(run), acts.trained_title(run)
    again = Again(run, task, trained_on, wish) if grids is not None and grids.again else None
    maker = Maker(
        sources, trial, inputs, output, traced_with, versions, original_is, trained, stored, state, title, again
    )

    with files.whole_folder(spec.output) as folder:
        judged = [
            acts.make_and_judge(name, maker, folder, task, run.labels, trial)
            for name in console.track(variants, "exporting", unit="models")
        ]
        sensitivity = acts.sensitivity(maker, run, task, encoder, folder) if spec.sensitivity else {}
        acts.carry_tokenizer(run, folder)
        carried = acts.carry_examples(folder, examples, run.labels)
        write_reference(folder, encoder, task.content)
        scheme = stored.name if stored is not None else "float32"
        document = manifest(
            run, profile, scheme, preprocessing, inputs, output, versions, judged, carried, original_is, sensitivity
        )
        files.write_text(folder / REPORT, write_report(document, judged))
        Bundle.write_manifest(folder, document)

    for line in acts.summary_lines(judged, spec.output):
        console.say(line)
    acts.raise_failed(judged, spec.output, spec.archive)
    if spec.archive:
        console.say(f"packed as {pack(spec.output)}")
    return Bundle.open(spec.output)
