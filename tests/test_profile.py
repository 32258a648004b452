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
    assert set(NAMES) == {
        "raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-zero-2w", "jetson-orin-nano", "jetson-nano", "intel-n100",
        "x86-64-avx512-vnni", "rk3588", "snapdragon-8-gen2", "snapdragon-x-elite", "apple-m1", "android-arm64",
        "x86-64-vnni", "x86-64-avx2", "nvidia-gpu", "generic",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_loads_and_names_a_real_scheme(name: str) -> None:
    found = profile.load_profile(name)
    assert found.id == name
    assert [SCHEMES.load(scheme).name for scheme in found.schemes] == [found.scheme, *found.other_schemes]
    assert len(set(found.schemes)) == len(found.schemes)
    assert "CPUExecutionProvider" in found.providers
    # What the CPU computes is among the schemes, for who has no more than onnxruntime's CPU build.
    assert any(SCHEMES.load(scheme).runs_on_cpu for scheme in found.schemes)
    assert set(found.provider_options) <= set(found.providers)
    for low, high in found.plausibility.values():
        assert 0 < low <= high


@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_a_profile_has_its_source(name: str) -> None:
    """A paragraph with a value in it, other than how the profile is called, has a comment that gives the source."""
    text = (profile.profiles_folder() / f"{name}.toml").read_text()
    for paragraph in text.split("\n\n"):
        values = [line for line in paragraph.splitlines() if re.match(r"(?!id|title)\w+ = ", line)]
        assert not values or re.search(r"# .*(Source|Milliseconds)", paragraph), f"{name}: {values}"


@pytest.mark.parametrize("name", NAMES)
def test_the_stated_ceiling_is_that_of_the_oldest_runtime(name: str) -> None:
    """onnxruntime 1.18 to 1.20 implement opset 21 and IR version 10 (its docs/Versioning.md)."""
    runtime = dict(profile.load_profile(name).runtime)
    oldest = int(runtime["onnxruntime_min"].split(".")[1])
    assert 18 <= oldest <= 20 and (runtime["max_opset"], runtime["max_ir"]) == (21, 10)
    if "onnxruntime_max" in runtime:
        assert int(runtime["onnxruntime_max"].split(".")[1]) >= oldest


@pytest.mark.parametrize("name", NAMES)
def test_every_scheme_of_a_profile_can_be_written_for_its_oldest_runtime(name: str) -> None:
    found = profile.load_profile(name)
    for scheme in found.schemes:
        assert SCHEMES.load(scheme).opset <= found.max_opset


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("raspberry-pi-5", "raspberry-pi-5"),
        ("raspberry-pi-4", "raspberry-pi-4"),
        ("raspberry-pi-zero-2w", "raspberry-pi-zero-2w"),
        ("jetson-orin-nano", "jetson-orin-nano"),
        ("intel-n100", "intel-n100"),
        ("jetson-nano", "jetson-nano"),
        ("ryzen-5700g", "x86-64-avx2"),
        ("core-i5-1235u", "x86-64-vnni"),
        ("xeon-vnni", "x86-64-avx512-vnni"),
        ("orange-pi-5", "rk3588"),
        ("snapdragon-8-gen2", "snapdragon-8-gen2"),
        ("snapdragon-x-elite", "snapdragon-x-elite"),
        ("pixel-8", "android-arm64"),
        ("mac-mini-m1-linux", "apple-m1"),
    ],
)
def test_detection_on_recorded_machines(machine: str, expected: str) -> None:
    assert profile.detect(RECORDED / machine).id == expected


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("raspberry-pi-5", "raspberry-pi-5"),
        ("orange-pi-5", "rk3588"),  # it has the cores of the Pi 5, and others
        ("snapdragon-x-elite", "snapdragon-x-elite"),
        ("mac-mini-m1-linux", "apple-m1"),
    ],
)
def test_without_a_board_name_the_processor_parts_decide(tmp_path: Path, machine: str, expected: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text((RECORDED / machine / "proc/cpuinfo").read_text())
    assert profile.detect(tmp_path).id == expected


def test_a_part_number_is_its_implementers(tmp_path: Path) -> None:
    # 0x001 is Oryon at Qualcomm (0x51), and an Exynos core at Samsung (0x53)
    text = (RECORDED / "snapdragon-x-elite/proc/cpuinfo").read_text().replace("0x51", "0x53")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(text)
    assert profile.detect(tmp_path).id == "generic"


def test_any_other_phone_is_an_android_phone(tmp_path: Path) -> None:
    text = (RECORDED / "raspberry-pi-4/proc/cpuinfo").read_text().replace("0xd08", "0xd41")
    for name, content in (("proc/cpuinfo", text), ("system/bin/linker64", "")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert profile.detect(tmp_path).id == "android-arm64"


@pytest.mark.parametrize(("brand", "expected"), [("Apple M1", "apple-m1"), ("Apple M1 Pro", "generic")])
def test_macos_names_the_processor(monkeypatch: pytest.MonkeyPatch, brand: str, expected: str) -> None:
    from edgeft import cpu, detect

    answers = {
        "machdep.cpu.brand_string": brand, "hw.logicalcpu": "8", "hw.perflevel0.logicalcpu": "4",
        "hw.perflevel1.logicalcpu": "4", "hw.optional.arm.FEAT_DotProd": "1", "hw.optional.arm.FEAT_I8MM": "0",
    }  # fmt: skip
    monkeypatch.setattr(cpu.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(cpu.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(cpu, "_sysctl", answers.get)
    monkeypatch.setattr(detect.Machine, "read", staticmethod(lambda root: detect.Machine(cpu._without_proc())))
    found = detect.detection()
    assert found.best.profile.id == expected
    known = cpu._without_proc()
    assert known.int8_path == "dotprod" and len(known.big) == 4


def test_a_profile_says_what_else_its_target_computes() -> None:
    found = profile.load_profile("snapdragon-8-gen2")
    assert found.schemes[:2] == ("u8u8", "u16s8") and found.providers[0] == "QNNExecutionProvider"
    assert found.provider_options["QNNExecutionProvider"] == {"htp_performance_mode": "burst"}


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
        (GOOD + "[[detect]]\nsocket = 'x'\n", "did you mean 'soc'"),
        (GOOD + "detect = 3\n", "a table or a list"),
        (GOOD + "detect = ['x']\n", "detect = 'x' is not right"),
        (GOOD + 'other_schemes = ["u8u9"]\n', "did you mean 'u8u8'"),
        ("id = ", "not readable TOML"),
        ('id = "x"\n', "lacks title"),
    ],
)
def test_a_wrong_profile_names_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    place = tmp_path / "mine.toml"
    place.write_text(text)
    with pytest.raises(ProfileError, match=message):
        profile.load_profile(place)
