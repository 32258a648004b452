"""What this machine can do, and what to type for what is missing. Reads only; changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeft import machine, packages
from edgeft.cpu import read_cpu
from edgeft.detect import detection
from edgeft.evaluation.energy import known
from edgeft.evaluation.meters.kinds import Meter
from edgeft.evaluation.meters.world import World
from edgeft.profile import Profile
from edgeft.sysfiles import Tree

_DEVICE = ("numpy", "onnxruntime", "PIL", "tokenizers")
_TRAIN = ("torch", "transformers", "accelerate", "safetensors", "timm", "onnx")
_REPORT = ("matplotlib",)
_AUDIO = ("soundfile", "soxr")


@dataclass(frozen=True)
class Finding:
    """One fact: what it is about, how it stands, and what to type when that is to change ("" = nothing to do)."""

    about: str
    state: str
    fix: str = ""
    blocks_eval: bool = False


def examine(root: Path = Path("/")) -> list[Finding]:
    """Everything `edgeft doctor` prints, in order."""
    return [
        *_packages(),
        *_providers(root),
        *_processor(root),
        *energy_meters(World(root)),
        *_clocks(root),
        *_memory(root),
    ]


def describe(findings: list[Finding]) -> str:
    """One line a fact, and below it what to type."""
    width = max(len(finding.about) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.about:<{width}}  {finding.state}")
        if finding.fix:
            lines.append(f"{'':<{width}}  -> {finding.fix}")
    return "\n".join(lines)


def _packages() -> list[Finding]:
    device = [_imported(module) for module in _DEVICE]
    return [
        *device,
        _group("audio packages", _AUDIO, "audio"),
        _group("train packages", _TRAIN, "train"),
        _group("report packages", _REPORT, "report"),
    ]


def _imported(module: str) -> Finding:
    """Only an import shows whether a build runs on this processor; it is tried in a child process."""
    reason = packages.why_not_importable(module)
    if reason is None:
        return Finding(module, f"{packages.version_of(module) or 'of unknown version'}, imports")
    return Finding(module, reason.what, reason.next_step, blocks_eval=module in ("numpy", "onnxruntime"))


def _group(about: str, modules: tuple[str, ...], extra: str) -> Finding:
    absent = [module for module in modules if not packages.is_installed(module)]
    if not absent:
        versions = [f"{module} {packages.version_of(module) or ''}".strip() for module in modules]
        return Finding(about, ", ".join(versions))
    needed_for = {
        "audio": "models of sounds", "train": "edgeft tune and export", "report": "the pictures of edgeft tune",
    }  # fmt: skip
    state = f"not installed: {', '.join(absent)} (only for {needed_for[extra]})"
    return Finding(about, state, f"pip install 'edgeft[{extra}]'")


def _providers(root: Path) -> list[Finding]:
    names = _available_providers()
    if not names:
        return []
    profile, cpu = detection(root).best.profile, read_cpu(root)
    return [Finding("execution providers", ", ".join(names)), *lacking_providers(profile, names, cpu.architecture)]


def lacking_providers(profile: Profile, names: Sequence[str], architecture: str | None) -> list[Finding]:
    """The execution providers that `profile` puts before the first one that is there (`names`)."""
    first = next((i for i, name in enumerate(profile.providers) if name in names), len(profile.providers))
    found = []
    for name in profile.providers[:first]:
        kind = name.removesuffix("ExecutionProvider")
        state = f"not in this onnxruntime, and profile {profile.id} prefers it"
        found.append(Finding(kind, state, _builds(architecture).get(kind, "install the onnxruntime build that has it")))
    return found


def _builds(architecture: str | None) -> dict[str, str]:
    """Execution provider -> how to get the onnxruntime that has it. Only one onnxruntime can be installed at a time."""
    # From version 2 on, the QNN package is a plugin that a program has to register (onnxruntime/onnxruntime-qnn).
    gone = "pip uninstall --yes onnxruntime; pip install"
    builds = {
        "CUDA": f"{gone} 'onnxruntime-gpu[cuda,cudnn]'", "Tensorrt": f"{gone} 'onnxruntime-gpu[cuda,cudnn]' tensorrt",
        "OpenVINO": f"{gone} onnxruntime-openvino", "QNN": f"{gone} 'onnxruntime-qnn<2'",
    }  # fmt: skip
    if architecture == "aarch64":  # PyPI's GPU build is not made for Jetsons
        jetson = f"{gone} WHEEL, with NVIDIA's onnxruntime-gpu wheel for your JetPack (https://elinux.org/Jetson_Zoo)"
        builds |= {"CUDA": jetson, "Tensorrt": jetson}
    return builds


def _available_providers() -> list[str]:
    """Asked in a child process too: loading a provider's libraries may end the interpreter."""
    code = "import onnxruntime; print('\\n'.join(onnxruntime.get_available_providers()))"
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def _processor(root: Path) -> list[Finding]:
    cpu, found = read_cpu(root), detection(root)
    path = cpu.int8_path
    note = "; 8-bit weights would saturate, profiles for it use 7 bits" if cpu.saturates else ""
    allowed = machine.allowed_cpus(root)
    threads = machine.default_threads(found.best.profile, root)
    return [
        Finding("board", machine.board_model(root) or "not named"),
        Finding("processor", f"{cpu.model or ', '.join(cpu.parts) or 'not named'}, {cpu.architecture}"),
        Finding("int8 path", f"{path if cpu.flags else 'unknown'}{note}"),
        Finding("cores", f"{allowed} of {len(cpu.online) or os.cpu_count()} may be used; {threads} threads by default"),
        Finding("profile", f"{found.best.profile.id}: {'; '.join(found.best.reasons)}"),
    ]


def energy_meters(world: World) -> list[Finding]:
    """Every meter whose sensor is here, and whether it can be read; one finding says so when none is."""
    found = [
        Finding(f"energy: {name}", *_meter_state(meter, reason))
        for name, meter, reason in known(world)
        if reason is None or getattr(reason, "present", True)
    ]
    if found:
        return found
    reason = next(reason for name, _, reason in known(world) if name == "rapl")
    state = f"none found ({getattr(reason, 'reason', reason)}): energy will be reported as not measured"
    fix = getattr(reason, "fix", "") or "an external meter: --meter FILE.csv, command:CMD, shelly:HOST or tasmota:HOST"
    return [Finding("energy meter", state, fix)]


def _meter_state(meter: Meter, reason: str | None) -> tuple[str, str]:
    if reason is None:
        return f"ready: {meter.source}, covers {meter.coverage}", ""
    return str(getattr(reason, "reason", reason)), getattr(reason, "fix", "")


def _clocks(root: Path) -> list[Finding]:
    known = machine.describe_machine(root)
    findings = [_governor(known.get("governor"))]
    if "temperatures_c" in known:
        hottest = max(known["temperatures_c"].items(), key=lambda item: item[1])
        findings.append(Finding("temperature", f"{hottest[1]:.1f} °C ({hottest[0]})"))
    bits = int(known.get("throttled", "0x0"), 16)
    if bits & 0xF:
        fix = "use a stronger power supply" if bits & 1 else "cool the board"
        findings.append(Finding("throttling", f"{known['throttled']}: the board is slowed down now", fix))
    elif bits >> 16:
        fix = "use a stronger power supply" if bits >> 16 & 1 else "cool the board"
        state = f"{known['throttled']}: not now, but the board was slowed down since it was started"
        findings.append(Finding("throttling", state, f"{fix}; a restart clears this"))
    if "power_source" in known:
        findings.append(Finding("power source", str(known["power_source"])))
    return findings


def _governor(governor: str | None) -> Finding:
    if governor is None:
        return Finding("clock governor", "not shown (a virtual machine or container hides it)")
    if governor == "performance":
        return Finding("clock governor", governor)
    fix = "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
    return Finding("clock governor", f"{governor}: clocks follow the load, short runs look slower", fix)


def _memory(root: Path) -> list[Finding]:
    fields = Tree(root).fields("proc/meminfo")
    total, free = (int(fields.get(name, "0").split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    memory = [Finding("memory", f"{free / 2**20:.0f} MiB of {total / 2**20:.0f} MiB available")] if total else []
    return [*memory, *_swap(root), *_limits(root)]


def _swap(root: Path) -> list[Finding]:
    swap = machine.describe_machine(root).get("swap", {})
    if not swap.get("total_bytes"):
        return []
    state = f"{swap['used_bytes'] / 2**20:.0f} MiB of {swap['total_bytes'] / 2**20:.0f} MiB used"
    if not swap["used_bytes"]:
        return [Finding("swap", state)]
    fix = "end what is not needed, then sudo swapoff -a && sudo swapon -a"
    return [Finding("swap", f"{state}: what was swapped out is slow when it is needed again", fix)]


def _limits(root: Path) -> list[Finding]:
    """What the container, or the control group around it, keeps this process to."""
    known = machine.describe_machine(root)
    cpus, memory = known.get("cgroup_cpu_quota"), known.get("cgroup_memory_bytes")
    found = []
    if cpus is not None:
        state = f"{cpus:g} CPUs' worth of time; beyond it every thread stands still for the rest of the period"
        found.append(Finding("container limit", state, "docker run --cpus N, or without --cpus"))
    if memory is not None:
        found.append(Finding("container limit", f"{memory / 2**20:.0f} MiB of memory", "docker run --memory SIZE"))
    return found
