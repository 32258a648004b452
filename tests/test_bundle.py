"""The bundle believes nothing: changed, missing, foreign and newer files are told apart."""

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeft import files
from edgeft.archive import safe_name
from edgeft.bundle import MANIFEST, Bundle, _seal, pack, unpack
from edgeft.errors import FolderError, MachineError, ModelError, UsageError
from edgeft.onnxfile import read_facts, read_weights


def save_model(place: Path, external: str | None = None, opset: int = 20) -> None:
    """y = x + w. With `external`, w says that it lies in that file."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0])
    if external is not None:
        weight.ClearField("float_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", external), ("offset", "0"), ("length", "16")):
            weight.external_data.add(key=key, value=value)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "logits"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["logits"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    place.write_bytes(model.SerializeToString())


def document(**more: Any) -> dict[str, Any]:
    return {
        "task": "text-classification", "metric": "accuracy", "labels": ["no", "yes"],
        "preprocessing": {"kind": "text"}, "inputs": [], "outputs": [{"name": "logits"}],
        "original_is": "the model as given", "scheme": "u8s8",
        "eval": {"file": "eval/examples.jsonl", "n": 1, "sha256": "0" * 64},
        "variants": {"original": {"file": "original.onnx", "title": "original"}}, **more,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "modèle test 日本"  # C05
    (place / "eval").mkdir(parents=True)
    save_model(place / "original.onnx")
    (place / "tokenizer.json").write_text("{}")
    (place / "eval/examples.jsonl").write_text('{"id": "1", "label": "yes", "text": "hi"}\n')
    (place / "eval/00000.jpg").write_bytes(b"raw")
    (place / "eval/reference.npz").write_bytes(b"arrays")
    Bundle.write_manifest(place, document())
    return place


def test_a_written_bundle_opens(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert (bundle.task, bundle.metric, bundle.labels) == ("text-classification", "accuracy", ("no", "yes"))
    assert bundle.file_of("original") == folder / "original.onnx"
    entry = bundle.variants["original"]
    assert entry["opset"] == 20 and entry["ir_version"] == 9
    assert entry["bytes"] == (folder / "original.onnx").stat().st_size
    assert entry["sha256"] == files.sha256_file(folder / "original.onnx")
    assert set(bundle.document["files"]) == {"tokenizer.json", "eval/examples.jsonl", "eval/reference.npz"}


def test_an_unknown_variant_is_refused_with_a_suggestion(folder: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'original'"):
        Bundle.open(folder).file_of("orginal")


def test_a_missing_bundle_and_an_unfinished_one(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="there is no bundle"):
        Bundle.open(tmp_path / "none")
    with pytest.raises(FolderError, match=r"manifest.json is missing; make it again"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize("name", ["original.onnx", "tokenizer.json", "eval/examples.jsonl", "eval/reference.npz"])
def test_one_changed_byte_names_the_file(folder: Path, name: str) -> None:  # K05
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(FolderError, match=f"{Path(name).name} was changed after the bundle was written"):
        Bundle.open(folder)


def test_an_edited_manifest_is_noticed(folder: Path) -> None:  # K05
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    (folder / MANIFEST).write_text(text.replace('"no"', '"No"'), encoding="utf-8")
    with pytest.raises(FolderError, match=r"manifest.json was changed after it was written"):
        Bundle.open(folder)


def test_a_newer_format_is_called_newer_not_changed(folder: Path) -> None:  # K05
    found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    found["schema"] = "edgeft-bundle/2"
    (folder / MANIFEST).write_text(json.dumps(found))
    with pytest.raises(FolderError, match="written by a newer edgeft .*; install a newer edgeft"):
        Bundle.open(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FolderError, match=r"tokenizer.json is missing"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["original.onnx", MANIFEST])
def test_a_git_lfs_pointer_is_called_one(folder: Path, name: str) -> None:  # K03
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 123456\n"
    (folder / name).write_text(pointer)
    with pytest.raises(FolderError, match="is a Git LFS pointer.*git lfs pull"):
        Bundle.open(folder)


def test_a_bundle_of_symbolic_links_opens_and_packs_as_real_files(folder: Path, tmp_path: Path) -> None:  # K04
    blobs, cached = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    (cached / "eval").mkdir(parents=True)
    for number, place in enumerate(path for path in sorted(folder.rglob("*")) if path.is_file()):
        (blobs / str(number)).write_bytes(place.read_bytes())
        (cached / place.relative_to(folder)).symlink_to(blobs / str(number))
    (tmp_path / "link").symlink_to(cached)
    assert Bundle.open(tmp_path / "link").labels == ("no", "yes")
    packed = pack(tmp_path / "link", tmp_path / "out.edgeft.tar.gz")
    with tarfile.open(packed) as entries:
        assert all(entry.isfile() for entry in entries)


@pytest.mark.parametrize("location", ["../../secret", "/etc/passwd", "C:\\weights", "a/../../secret", "unlisted.bin"])
def test_external_weights_outside_the_manifest_are_refused(folder: Path, location: str) -> None:  # K02
    save_model(folder / "original.onnx", external=location)
    with pytest.raises(FolderError, match=r"takes weights from .*which is not in the bundle"):
        Bundle.write_manifest(folder, document())


def test_external_weights_the_manifest_vouches_for_are_accepted(folder: Path) -> None:
    (folder / "original.bin").write_bytes(b"\0" * 16)
    save_model(folder / "original.onnx", external="original.bin")
    Bundle.write_manifest(folder, document())
    (folder / "original.bin").write_bytes(b"\1" * 16)
    with pytest.raises(FolderError, match=r"original.bin was changed"):
        Bundle.open(folder)


def test_external_weights_inside_a_subgraph_are_found(tmp_path: Path) -> None:
    save_model(tmp_path / "inner.onnx", external="../x")
    inner = onnx.load(str(tmp_path / "inner.onnx"), load_external_data=False).graph
    node = helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    result = helper.make_tensor_value_info("z", TensorProto.FLOAT, [4])
    model = helper.make_model(helper.make_graph([node], "g", [condition], [result]))
    (tmp_path / "outer.onnx").write_bytes(model.SerializeToString())
    assert read_facts(tmp_path / "outer.onnx").external == ("../x",)


def test_facts_agree_with_the_onnx_package(tmp_path: Path) -> None:  # R01
    save_model(tmp_path / "m.onnx", opset=17)
    facts = read_facts(tmp_path / "m.onnx")
    model = onnx.load(str(tmp_path / "m.onnx"))
    assert (facts.ir_version, facts.opset, facts.external) == (model.ir_version, 17, ())


def test_weights_are_counted_by_dtype(tmp_path: Path) -> None:
    arrays = {"a": np.zeros((2, 3, 4), np.int8), "b": np.zeros(5, np.float32), "c": np.float16(1)}
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()]
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, [5])
    model = helper.make_model(helper.make_graph([], "g", [], [out], tensors))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    found = read_weights(tmp_path / "m.onnx")
    assert found == {"params": 30, "dtypes": {"float16": 1, "float32": 5, "int8": 24}}


@pytest.mark.parametrize("keep", [0, 1, 10, 60])
def test_a_model_that_is_cut_off_is_called_so(tmp_path: Path, keep: int) -> None:
    save_model(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes((tmp_path / "m.onnx").read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"m.onnx is (empty|not an ONNX model, or is cut off)"):
        read_facts(tmp_path / "m.onnx")


def test_a_manifest_that_lacks_something_is_not_written(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    lacking = document()
    del lacking["labels"]
    with pytest.raises(FolderError, match="lacks labels"):
        Bundle.write_manifest(folder, lacking)
    assert not (folder / MANIFEST).exists()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["labels"], "yes", 'labels is "yes" and should be a list of different texts'),
        (["labels"], ["no", "no"], 'labels is ["no", "no"] and should be a list of different texts'),
        (["labels"], [0, 1], "labels is [0, 1] and should be a list of different texts"),
        (["task"], None, "task is null and should be a text"),
        (["preprocessing"], [], "preprocessing is [] and should be an object"),
        (["preprocessing"], {}, "preprocessing.kind is missing"),
        (["variants"], [], "variants is [] and should be an object of at least 1"),
        (["variants", "original"], "x", 'variants.original is "x" and should be an object'),
        (["variants", "original", "file"], 3, "variants.original.file is 3 and should be a text"),
        (["variants", "original", "opset"], True, "variants.original.opset is true and should be a whole number"),
        (["outputs"], [], "outputs is [] and should be a list of at least 1"),
        (["outputs"], ["logits"], 'outputs[0] is "logits" and should be an object'),
        (["files"], ["tokenizer.json"], 'files is ["tokenizer.json"] and should be an object'),
        (["eval"], "test", 'eval is "test" and should be an object'),
    ],
)
def test_a_manifest_of_another_make_names_the_field_that_is_wrong(
    folder: Path, path: list[str], value: object, message: str
) -> None:
    found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    place = found
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    found["manifest_sha256"] = _seal(found)
    (folder / MANIFEST).write_text(json.dumps(found))
    with pytest.raises(FolderError) as caught:
        Bundle.open(folder)
    assert caught.value.what == f"{folder / MANIFEST}: {message}"


@pytest.mark.parametrize("name", ["../evil", "/evil", "C:/evil", "a/../../evil", "a\\..\\..\\evil", ""])
def test_a_manifest_that_names_a_file_outside_is_refused(folder: Path, name: str) -> None:
    assert not safe_name(name)
    (folder.parent / "evil").write_text("x")
    found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    found["files"][name] = files.sha256_text("x")
    found["manifest_sha256"] = _seal(found)
    (folder / MANIFEST).write_text(json.dumps(found))
    with pytest.raises(FolderError, match="outside the bundle"):
        Bundle.open(folder)


def test_pack_and_unpack_give_the_same_bundle(folder: Path, tmp_path: Path) -> None:
    packed = pack(folder)
    assert packed.name == folder.name + ".edgeft.tar.gz"
    (folder / "eval/.hidden").write_text("not packed")
    (folder / "settings.json").write_text("not packed")
    assert pack(folder, tmp_path / "again.edgeft.tar.gz").read_bytes() == packed.read_bytes()
    target = unpack(packed, tmp_path / "elsewhere")
    assert Bundle.open(target).sha256 == Bundle.open(folder).sha256
    assert (target / "eval/00000.jpg").read_bytes() == b"raw"
    assert not (target / "eval/.hidden").exists()


def test_an_archive_opens_beside_itself_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "board").mkdir()
    packed = pack(folder, tmp_path / "board/mine.edgeft.tar.gz")
    assert Bundle.open(packed).path == tmp_path / "board/mine"
    assert Bundle.open(packed).path == tmp_path / "board/mine"
    Bundle.write_manifest(tmp_path / "board/mine", document(metric="f1"))
    with pytest.raises(FolderError, match="is not the bundle in"):
        Bundle.open(packed)


def test_a_bundle_damaged_after_it_was_unpacked_says_how_to_get_it_back(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "board").mkdir()
    packed = pack(folder, tmp_path / "board/mine.edgeft.tar.gz")
    unpacked = Bundle.open(packed).path
    next(unpacked.glob("*.onnx")).unlink()
    with pytest.raises(FolderError, match=f"is missing; remove {unpacked}, and it is unpacked again from {packed}"):
        Bundle.open(packed)
    shutil.rmtree(unpacked)
    assert Bundle.open(packed).path == unpacked


def test_an_archive_of_a_damaged_bundle_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    next(folder.glob("*.onnx")).unlink()
    (tmp_path / "board").mkdir()
    packed = pack(folder, tmp_path / "board/mine.edgeft.tar.gz")
    with pytest.raises(FolderError, match=f"{packed}/.* is missing; copy the bundle again"):
        Bundle.open(packed)
    assert [path.name for path in (tmp_path / "board").iterdir()] == ["mine.edgeft.tar.gz"]


def test_names_that_begin_with_a_dot_are_the_same_names(folder: Path, tmp_path: Path) -> None:
    """As `tar czf mine.edgeft.tar.gz ./mine` writes them, and `tar czf … .` in a folder that holds it alone."""
    packed = tmp_path / "mine.edgeft.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(folder, "./mine")
    assert Bundle.open(packed).sha256 == Bundle.open(folder).sha256
    assert (tmp_path / "mine/manifest.json").is_file()


def evil(place: Path, *entries: tarfile.TarInfo) -> Path:
    with tarfile.open(place, "w:gz") as archive:
        for entry in (tarfile.TarInfo("b/manifest.json"), *entries):
            archive.addfile(entry, io.BytesIO(b"x" * entry.size))
    return place


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
    return made


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry("../evil"), "would leave the folder"),
        (entry("/tmp/evil"), "would leave the folder"),
        (entry("b/../../evil"), "would leave the folder"),
        (entry("b\\..\\..\\evil"), "would leave the folder"),
        (entry("C:evil"), "would leave the folder"),
        (entry("b/etc", tarfile.SYMTYPE, "/etc"), "a link or a device"),
        (entry("b/etc", tarfile.LNKTYPE, "../x"), "a link or a device"),
        (entry("b/dev", tarfile.CHRTYPE), "a link or a device"),
        (entry("b/manifest.json"), "two entries"),
        (entry("b/manifest.json/x"), "'b/manifest.json' that is a file and a folder"),
        (entry("b/" + "x" * 256), "name is too long"),
        (entry("other/file"), "does not hold one folder"),
    ],
)
def test_an_archive_that_leaves_its_folder_is_refused_whole(tmp_path: Path, bad: tarfile.TarInfo, message: str) -> None:
    inside = tmp_path / "inside"  # K01
    inside.mkdir()
    packed = evil(inside / "b.edgeft.tar.gz", bad)
    with pytest.raises(FolderError, match=message):
        unpack(packed, inside / "b")
    assert [path.name for path in inside.iterdir()] == ["b.edgeft.tar.gz"]
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]


def test_a_zip_or_a_cut_off_archive_is_refused(folder: Path, tmp_path: Path) -> None:  # K01
    with zipfile.ZipFile(tmp_path / "z.edgeft.tar.gz", "w") as archive:
        archive.writestr("../evil", "x")
    whole = pack(folder).read_bytes()
    (tmp_path / "cut.edgeft.tar.gz").write_bytes(whole[: len(whole) // 2])
    for name in ("z", "cut"):
        with pytest.raises(FolderError, match="is not a whole"):
            Bundle.open(tmp_path / f"{name}.edgeft.tar.gz")
        assert not (tmp_path / name).exists()


def test_an_archive_larger_than_the_disk_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack(folder)
    monkeypatch.setattr("edgeft.archive.shutil.disk_usage", lambda _: Free())
    with pytest.raises(MachineError, match="free some space"):
        unpack(packed, tmp_path / "out")


class Free:
    free = 10
