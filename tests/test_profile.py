"""Every profile that is shipped, and which one fits which machine."""

import re
from pathlib import Path

import pytest

from edgeft import profile
from edgeft.cpu import read_cpu
from edgeft.detect import describe_detection, detection
from edgeft.errors import ProfileError, UsageError
from edgeft.scheme import SCHEMES

RECORDED = Path(__file__).parent / "recorded"
NAMES = profile.profile_names()


def test_the_promised_profiles_are_there() -> None:
    assert {"x86-64-vnni", "x86-64-avx2", "raspberry-pi-5", "generic"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_loads_and_names_a_real_scheme(name: str) -> None:
    found = profile.load_profile(name)
    assert found.id == name
    assert SCHEMES.load(found.scheme).name == found.scheme
    assert found.providers[-1] == "CPUExecutionProvider"
    for low, high in found.plausibility.values():
        assert 0 < low <= high


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_profile_has_its_source(name: str) -> None:
    """A paragraph with a number in it has a comment that gives the source or the reason."""
    text = (profile.profiles_folder() / f"{name}.toml").read_text()
    for paragraph in text.split("\n\n"):
        values = [line for line in paragraph.splitlines() if re.match(r"\w+ = (\[?[\d.])", line)]
        assert not values or "#" in paragraph, f"{name}: {values}"


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("raspberry-pi-5", "raspberry-pi-5"),
        ("raspberry-pi-4", "raspberry-pi-4"),
        ("raspberry-pi-zero-2w", "raspberry-pi-zero-2w"),
        ("jetson-orin-nano", "jetson-orin-nano"),
        ("intel-n100", "intel-n100"),
        ("ryzen-5700g", "x86-64-avx2"),
        ("xeon-vnni", "x86-64-vnni"),
        ("orange-pi-5", "generic"),
    ],
)
def test_detection_on_recorded_machines(machine: str, expected: str) -> None:
    assert profile.detect(RECORDED / machine).id == expected


def test_without_a_board_name_the_processor_part_decides(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text((RECORDED / "raspberry-pi-5/proc/cpuinfo").read_text())
    assert profile.detect(tmp_path).id == "raspberry-pi-5"


def test_nothing_known_gives_generic(tmp_path: Path) -> None:
    assert profile.detect(tmp_path).id == "generic"


def test_cpus_without_vnni_get_seven_bit_weights() -> None:  # R07
    found = profile.detect(RECORDED / "ryzen-5700g")
    weight = SCHEMES.load(found.scheme).weight
    assert read_cpu(RECORDED / "ryzen-5700g").int8_path == "avx2"
    # Two products in 16 bits: 255 * 64 * 2 = 32640 <= 32767, which 8-bit weights (127) would exceed.
    assert 2 * 255 * max(weight.qmax, -weight.qmin) <= 32767


def test_generic_is_right_on_every_processor() -> None:
    assert profile.load_profile("generic").scheme == "u8s8-7bit"


def test_detection_says_why_and_what_else() -> None:
    text = describe_detection(detection(RECORDED / "raspberry-pi-5"))
    assert text.splitlines()[0] == "raspberry-pi-5"
    assert "the board is Raspberry Pi 5 Model B Rev 1.0" in text
    for name in NAMES:
        assert name in text


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'raspberry-pi-5'"):
        profile.load_profile("raspbery-pi-5")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no profile file"):
        profile.load_profile(str(tmp_path / "mine.toml"))


GOOD = 'id = "mine"\ntitle = "t"\nscheme = "u8s8"\nproviders = ["CPUExecutionProvider"]\n'


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    place = tmp_path / "mine.toml"
    place.write_text("\ufeff" + GOOD + "threads = 2\n[runtime]\nmax_ir = 9\nmax_opset = 19\n", encoding="utf-8")
    found = profile.load_profile(place)
    assert (found.id, found.threads, found.max_ir, found.max_opset) == ("mine", 2, 9, 19)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace('"u8s8"', '"u8s9"'), "did you mean 'u8s8'"),
        (GOOD + "thread = 2\n", "did you mean 'threads'"),
        (GOOD + "threads = 0\n", "whole number above 0"),
        (GOOD + "threads = true\n", "whole number above 0"),
        (GOOD + "[runtime]\nmax_opsets = 2\n", "did you mean 'max_opset'"),
        (GOOD + "[detect]\nboard = '('\n", "regular expression"),
        ("id = ", "not readable TOML"),
        ('id = "x"\n', "lacks title"),
    ],
)
def test_a_wrong_profile_names_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    place = tmp_path / "mine.toml"
    place.write_text(text)
    with pytest.raises(ProfileError, match=message):
        profile.load_profile(place)
