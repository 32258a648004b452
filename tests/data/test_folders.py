from __future__ import annotations

import os
import time
import unicodedata
from pathlib import Path

import pytest

from edgeft import console
from edgeft.data import images, inspecting
from edgeft.data.read import read_dataset
from edgeft.errors import DataError
from tests.data.pictures import class_folders, picture, save, three_splits


def read(root: Path, **options: object):  # type: ignore[no-untyped-def]
    return read_dataset(str(root), seed=0, **options)  # type: ignore[arg-type]


def notice(dataset, word: str) -> str:  # type: ignore[no-untyped-def]
    found = [line for line in dataset.notices if word in line]
    assert len(found) == 1, dataset.notices
    return found[0]


def test_given_splits_are_kept(tmp_path: Path) -> None:
    data = read(three_splits(tmp_path))
    assert data.content == "image"
    assert data.labels == ("cat", "dog")
    assert data.split_rule == "as given"
    assert [example.id for example in data.splits["test"]] == [
        "test/cat/000.jpg",
        "test/cat/001.jpg",
        "test/dog/000.jpg",
        "test/dog/001.jpg",
    ]
    assert [example.label for example in data.splits["test"]] == [0, 0, 1, 1]
    assert data.splits["test"][0].content == tmp_path / "test/cat/000.jpg"
    assert data.notices == ("12 images of 2 classes: train 4, validation 4, test 4",)


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev", "Val"])
def test_names_of_the_validation_split(tmp_path: Path, name: str) -> None:
    class_folders(tmp_path, {f"{s}/{label}": 1 for s in ("train", name, "test") for label in ("a", "b")})
    assert [example.id for example in read(tmp_path).splits["validation"]] == [f"{name}/a/000.jpg", f"{name}/b/000.jpg"]


def test_two_names_for_one_split(tmp_path: Path) -> None:
    three_splits(tmp_path)
    class_folders(tmp_path, {"val/cat": 1, "val/dog": 1})
    with pytest.raises(DataError, match="both 'val' and 'validation'"):
        read(tmp_path)


def test_hidden_and_system_folders_are_no_classes(tmp_path: Path) -> None:  # D01
    three_splits(tmp_path)
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir"):
        save(tmp_path / "train" / name / "a.jpg")
        save(tmp_path / name / "a.jpg")
    data = read(tmp_path)
    assert data.labels == ("cat", "dog")
    assert len(data.splits["train"]) == 4
    assert notice(data, "left out") == (
        "3 hidden or system entries left out: .ipynb_checkpoints (1), @eaDir (1), __MACOSX (1)"
    )


def test_macos_side_files_are_left_out_and_counted(tmp_path: Path) -> None:  # D02
    three_splits(tmp_path)
    (tmp_path / "train/cat/._a.jpg").write_bytes(b"\0" * 24)
    (tmp_path / "train/.DS_Store").write_bytes(b"x")
    data = read(tmp_path)
    assert len(data.splits["train"]) == 4
    assert notice(data, "left out") == "2 hidden or system entries left out: files (2)"


def test_label_seen_in_test_only(tmp_path: Path) -> None:  # D04
    class_folders(three_splits(tmp_path), {"test/bird": 3})
    with pytest.raises(DataError, match=r"'bird' is in the test split of .* \(3 examples\) and not in train"):
        read(tmp_path)


def test_numbered_folders_keep_their_names_in_number_order(tmp_path: Path) -> None:  # D05
    three_splits(tmp_path, labels=("0", "1", "2", "10"), n=1)
    data = read(tmp_path)
    assert data.labels == ("0", "1", "2", "10")
    assert [data.labels[example.label] for example in data.splits["test"]] == ["0", "1", "10", "2"]
    assert [example.id.split("/")[1] for example in data.splits["test"]] == ["0", "1", "10", "2"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_empty_class_folder(tmp_path: Path, split: str) -> None:  # D06
    three_splits(tmp_path)
    (tmp_path / split / "fox").mkdir()
    with pytest.raises(DataError, match=f"{split}/fox holds no images; add"):
        read(tmp_path)
    (tmp_path / split / "fox/bark.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=rf"{split}/fox holds no images \(but .wav files\)"):
        read(tmp_path)


def test_every_suffix_is_found_once(tmp_path: Path) -> None:  # D07
    three_splits(tmp_path)
    names = ["a.jpg", "b.JPG", "c.JPEG", "d.png", "e.PNG", "f.webp", "g.Gif", "h.bmp", "i.TIFF", "j.ppm"]
    for seed, name in enumerate(names):
        save(tmp_path / "train/fox" / name, seed=500 + seed)
    (tmp_path / "train/fox/readme.txt").write_text("no image")
    os.rename(save(tmp_path / "train/fox/k.jpg", seed=600), tmp_path / "train/fox/k")
    data = read(tmp_path)
    found = [example.content.name for example in data.splits["train"] if "fox" in example.id]  # type: ignore[union-attr]
    assert found == sorted([*names, "k"])
    assert notice(data, "no images") == "1 files that are no images left out: .txt (1)"
    assert data.notices[0] == "23 images of 3 classes: train 15, validation 4, test 4"


def test_truncated_images_are_named(tmp_path: Path) -> None:  # D08
    three_splits(tmp_path)
    whole = save(tmp_path / "whole.jpg", seed=9, width=200, height=150).read_bytes()
    (tmp_path / "whole.jpg").unlink()
    (tmp_path / "train/cat/half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "test/cat/nearly.jpg").write_bytes(whole[:-2])
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert caught.value.what.startswith(f"2 of 14 images in {tmp_path} cannot be used: ")
    assert "train/cat/half.jpg (cut off or damaged" in caught.value.what
    assert "test/cat/nearly.jpg (cut off or damaged" in caught.value.what


def test_files_that_are_no_images_are_called_what_they_are(tmp_path: Path) -> None:  # D09
    three_splits(tmp_path)
    contents = {
        "a.jpg": b"<!DOCTYPE html><title>404</title>",
        "b.jpg": b"",
        "c.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "d.png": b'{"error": "expired"}',
        "e.png": b"%PDF-1.7",
    }
    for name, content in contents.items():
        (tmp_path / "train/cat" / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    for said in (
        "5 of 17 images",
        "a.jpg (an HTML page)",
        "b.jpg (an empty file)",
        "c.jpg (a Git LFS pointer",
        "d.png (a JSON text)",
        "e.png (a PDF)",
    ):
        assert said in caught.value.what


def test_many_bad_files_make_one_error_and_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    three_splits(tmp_path)
    for number in range(7):
        (tmp_path / f"train/cat/bad{number}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="7 of 19 images .* and 2 more, named above"):
        read(tmp_path)
    assert capsys.readouterr().err.count("unreadable image: train/cat/bad") == 7


def test_link_to_nowhere_is_named(tmp_path: Path) -> None:
    three_splits(tmp_path)
    (tmp_path / "train/cat/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(DataError, match=r"gone.jpg \(a link to a file that is not there\)"):
        read(tmp_path)


def test_interrupt_does_not_wait_for_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def slow(path: Path, name: str, decode: bool) -> images.Inspected:
        begun.append(name)
        time.sleep(0.001)
        return images.Inspected("", 1, None)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "_inspect", slow)
    monkeypatch.setattr(inspecting, "allowed_cpus", lambda: 1)
    monkeypatch.setattr(console.Bar, "advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        images.inspect_images([tmp_path] * 2000, ["x"] * 2000, decode=True)
    assert len(begun) < 2000


def test_check_can_be_left_out(tmp_path: Path) -> None:
    three_splits(tmp_path)
    (tmp_path / "train/cat/bad.jpg").write_bytes(b"junk")
    assert len(read(tmp_path, image_check=False).splits["train"]) == 5


def test_files_with_several_frames_are_counted(tmp_path: Path) -> None:  # D15
    three_splits(tmp_path)
    frames = [picture(seed) for seed in (71, 72)]
    for name, kind in (("a.gif", "GIF"), ("b.png", "PNG"), ("c.jpg", "MPO")):
        frames[0].save(tmp_path / "train/cat" / name, kind, save_all=True, append_images=frames[1:])
    assert notice(read(tmp_path), "frames") == "3 images have several frames: the first one of each is used"


def test_table_that_contradicts_the_folders(tmp_path: Path) -> None:  # D16
    three_splits(tmp_path)
    (tmp_path / "train/metadata.csv").write_text("file_name,label\ncat/000.jpg,cat\ncat/001.jpg,dog\n")
    with pytest.raises(DataError, match=r"line 3 gives cat/001.jpg the label 'dog', and its folder says 'cat'"):
        read(tmp_path)


def test_table_that_agrees_with_the_folders(tmp_path: Path) -> None:  # D16
    three_splits(tmp_path)
    (tmp_path / "labels.csv").write_text("path,class\ntrain/cat/000.jpg,cat\ntest/dog/001.jpg,dog\n")
    assert "gives the same labels as the folders" in notice(read(tmp_path), "labels.csv")


def test_one_class_is_refused(tmp_path: Path) -> None:  # D23
    class_folders(tmp_path, {"cat": 5})
    with pytest.raises(DataError, match="only one class, 'cat'"):
        read(tmp_path)


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:  # D27
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert composed != decomposed
    class_folders(
        tmp_path,
        {
            f"train/{composed}": 2,
            f"validation/{decomposed}": 1,
            f"test/{decomposed}": 1,
            "train/thé": 2,
            "validation/thé": 1,
            "test/thé": 1,
        },
    )
    data = read(tmp_path)
    assert data.labels == (composed, "thé")
    assert data.splits["test"][0].id == f"test/{composed}/000.jpg"
    assert data.splits["test"][0].content == tmp_path / "test" / decomposed / "000.jpg"


def test_paths_beyond_ascii(tmp_path: Path) -> None:  # C05
    root = three_splits(tmp_path / "modèle test 日本")
    assert len(read(root).splits["train"]) == 4


def test_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    three_splits(tmp_path)
    save(tmp_path / "train/cat/tabby/young/x.jpg", seed=77)
    (tmp_path / "train/cat/tabby/loop").symlink_to(tmp_path / "train/cat")
    found = [example.id for example in read(tmp_path).splits["train"] if example.label == 0]
    assert found == ["train/cat/000.jpg", "train/cat/001.jpg", "train/cat/tabby/young/x.jpg"]


def test_a_link_to_the_folder_above_the_classes_adds_nothing(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 10, "dog": 10})
    (tmp_path / "cat/loop").symlink_to(tmp_path)
    assert read(tmp_path).notices[0] == "20 images of 2 classes: train 16, validation 2, test 2"


@pytest.mark.parametrize("document", ["tuned.json", "state.json", "manifest.json", "result.json"])
def test_what_edgeft_wrote_is_no_class(tmp_path: Path, document: str) -> None:
    class_folders(tmp_path, {"cat": 10, "dog": 10, "bundle": 10})
    (tmp_path / "bundle" / document).write_text("{}")
    data = read(tmp_path)
    assert data.labels == ("cat", "dog")
    assert notice(data, "left out") == "1 hidden or system entries left out: bundle (1)"


def test_class_folders_called_train_and_plane(tmp_path: Path) -> None:
    class_folders(tmp_path, {"train": 10, "plane": 10})
    assert read(tmp_path).labels == ("plane", "train")


def test_stray_folder_beside_the_splits(tmp_path: Path) -> None:
    class_folders(three_splits(tmp_path), {"backup": 1})
    with pytest.raises(DataError, match="'backup' beside 'train'"):
        read(tmp_path)


def test_folder_around_the_splits(tmp_path: Path) -> None:
    three_splits(tmp_path / "unpacked")
    with pytest.raises(DataError, match="did you mean .*unpacked"):
        read(tmp_path)


def test_images_without_class_folders(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="holds no class folders"):
        read(tmp_path)


def test_missing_path_suggests_a_near_one(tmp_path: Path) -> None:
    three_splits(tmp_path / "animals")
    with pytest.raises(DataError, match="does not exist; did you mean 'animals'"):
        read(tmp_path / "animal")


def test_folder_of_images_and_tables_is_not_guessed(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 3, "dog": 3})
    (tmp_path / "train.csv").write_text("text,label\na,b\n")
    with pytest.raises(DataError, match="image-folder and as table"):
        read(tmp_path)


def test_copies_across_splits_are_counted(tmp_path: Path) -> None:
    three_splits(tmp_path)
    copied = (tmp_path / "train/cat/000.jpg").read_bytes()
    (tmp_path / "test/cat/copy.jpg").write_bytes(copied)
    (tmp_path / "train/dog/copy.jpg").write_bytes(copied)
    data = read(tmp_path)
    assert notice(data, "exact copies") == "1 of the 5 test examples are exact copies of train examples"
    assert notice(data, "another label").startswith("3 examples have a copy with another label")


def test_blanks_around_the_name_of_a_class_are_no_part_of_it(tmp_path: Path) -> None:
    """Windows drops them when it unpacks an archive, and a table's labels are read without them."""
    class_folders(tmp_path, {"train/cat ": 2, "train/dog": 2, "validation/cat": 1, "validation/dog": 1, "test/cat": 1,
                             "test/ dog ": 1})  # fmt: skip
    data = read(tmp_path)
    assert data.labels == ("cat", "dog")
    assert [example.label for example in data.splits["train"]] == [0, 0, 1, 1]
    assert data.splits["train"][0].content == tmp_path / "train/cat /000.jpg"


def test_a_class_without_a_name_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 2, "dog": 2, "  ": 2})
    with pytest.raises(DataError, match="a name of blanks only; give it the name of its class"):
        read(tmp_path)
