"""What this ran on: the part "system" of a result. Only what the machine says of itself; the rest is absent."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from edgeft.cpu import Cpu, read_cpu
from edgeft.packages import version_of
from edgeft.sysfiles import Tree

# What a Raspberry Pi's tool prints for one word, as in "get_throttled"; None where it is missing or may not ask.
Ask = Callable[[str], "str | None"]
_PACKAGES = ("numpy", "onnxruntime", "tokenizers", "PIL", "click", "tqdm")


class Threads(Protocol):
    """The part of a profile that says how many threads the runtime gets."""

    @property
    def threads(self) -> int | None: ...

    @property
    def big_cores_only(self) -> bool: ...


def describe_machine(root: Path = Path("/"), ask: Ask | None = None) -> dict[str, Any]:
    """The machine as a dict with the keys of "system" in a result (edgeft-result/1); unknown keys are absent.

    ask   what answers for a Raspberry Pi's vcgencmd; None = the tool itself, on this machine only
    """
    tree, cpu = Tree(root), read_cpu(root)
    found = {
        **_board(tree, ask),
        **_processor(tree, cpu),
        **_clocks(tree),
        **_memory(tree),
        **_software(tree),
        **_confinement(tree, cpu),
        **_power(tree),
        "temperatures_c": temperatures_c(root),
        "throttled": pi_throttled(root, ask),
        "versions": versions(),
    }
    return {key: value for key, value in found.items() if value not in (None, {}, [], "")}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages an evaluation uses; packages that are absent are absent."""
    found = {module.replace("PIL", "pillow"): version_of(module) for module in _PACKAGES}
    return {"python": platform.python_version(), **{name: text for name, text in found.items() if text}}


def board_model(root: Path = Path("/")) -> str | None:
    """Device tree (boards), else DMI (PCs)."""
    tree = Tree(root)
    model = tree.text("proc/device-tree/model") or tree.text("sys/firmware/devicetree/base/model")
    if model:
        return model
    parts = [tree.text(f"sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name")]
    return " ".join(part for part in parts if part) or None


def soc_names(root: Path = Path("/")) -> tuple[str, ...]:
    """The device tree's "compatible": board first, system on chip last; empty on PCs and phones that hide it."""
    tree = Tree(root)
    text = tree.text("proc/device-tree/compatible") or tree.text("sys/firmware/devicetree/base/compatible") or ""
    return tuple(name for name in text.split("\0") if name)


def operating_system(root: Path = Path("/")) -> str | None:
    """Which it is, "android" or "linux", by the dynamic linker that 64-bit Android keeps there; None for others."""
    tree = Tree(root)
    if tree.path("system/bin/linker64").exists():
        return "android"
    return "linux" if tree.path("proc").is_dir() else None


def _board(tree: Tree, ask: Ask | None) -> dict[str, Any]:
    compatible = soc_names(tree.root)
    bios = tree.text("sys/class/dmi/id/bios_version")
    l4t = re.search(r"R(\d+) .*REVISION: ([\d.]+)", tree.text("etc/nv_tegra_release") or "")
    return {
        "board_model": board_model(tree.root),
        "soc": compatible[-1] if compatible else None,
        "firmware": f"L4T {l4t[1]}.{l4t[2]}" if l4t else _pi_firmware(tree, ask) or bios,
    }


def _pi_firmware(tree: Tree, ask: Ask | None) -> str | None:
    """Both parts: the bootloader in flash memory, and VideoCore's, which sets clocks and is all that older boards have.

    `vcgencmd version` prints the day of its build, a copyright line and "version HASH (release)"; newer firmware writes
    the day as 2024/09/23, older as Sep 23 2024.
    """
    said = _pi_says(tree, ask, "version") or ""
    built = re.match(r"\s*(\w{3} +\d+ \d{4}|\d{4}/\d\d/\d\d)", said)
    known = re.search(r"^version ([0-9a-f]{8})", said, re.MULTILINE)
    videocore = f"VideoCore {known[1]}" + (f" of {' '.join(built[1].split())}" if built else "") if known else None
    return ", ".join(filter(None, [_pi_bootloader(tree), videocore])) or None


def _pi_bootloader(tree: Tree) -> str | None:
    """Raspberry Pi 4 and later: the firmware in its flash memory, by commit and date of its build."""
    place = tree.path("proc/device-tree/chosen/bootloader")
    version = tree.text(place / "version")
    try:
        built = datetime.fromtimestamp(int.from_bytes((place / "build-timestamp").read_bytes(), "big"), timezone.utc)
    except (OSError, ValueError, OverflowError):
        return f"bootloader {version[:8]}" if version else None
    return f"bootloader {version[:8]} of {built:%Y-%m-%d}" if version else None


def _processor(tree: Tree, cpu: Cpu) -> dict[str, Any]:
    everything = frozenset(cpu.online)
    cores = {"physical": cpu.physical(everything), "logical": len(everything)} if everything else {}
    if cpu.little:
        cores |= {"big": len(cpu.big), "little": len(cpu.little)}
    return {
        "architecture": cpu.architecture,
        "cpu_model": cpu.model,
        "cpu_parts": list(cpu.parts),
        "isa_flags": sorted(cpu.flags),
        "int8_path": cpu.int8_path if cpu.flags else None,
        "cores": cores,
        "caches": _caches(tree),
        "microcode": tree.fields("proc/cpuinfo").get("microcode"),
    }


def _caches(tree: Tree) -> dict[str, str]:
    found = {}
    for index in tree.glob("sys/devices/system/cpu/cpu0/cache/index*"):
        level, kind, size = (tree.text(index / name) for name in ("level", "type", "size"))
        if level and kind and size:
            found[f"L{level}{'' if kind == 'Unified' else kind[0].lower()}"] = size
    return found


def _clocks(tree: Tree) -> dict[str, Any]:
    """From cpufreq, one entry a policy (a cluster); without cpufreq nothing is known about limits and governor."""
    policies = tree.glob("sys/devices/system/cpu/cpufreq/policy*")
    highest = [tree.number(policy / "cpuinfo_max_freq") for policy in policies]
    governors = sorted({name for policy in policies if (name := tree.text(policy / "scaling_governor"))})
    drivers = sorted({name for policy in policies if (name := tree.text(policy / "scaling_driver"))})
    return {
        "max_mhz": [khz // 1000 for khz in highest if khz],
        "governor": ",".join(governors),
        "cpufreq_driver": ",".join(drivers),
    }


def _memory(tree: Tree) -> dict[str, Any]:
    fields = tree.fields("proc/meminfo")
    found: dict[str, Any] = {"ram_bytes": _kb(fields.get("MemTotal"))}
    total, free = _kb(fields.get("SwapTotal")), _kb(fields.get("SwapFree"))
    if total is not None and free is not None:
        found["swap"] = {"total_bytes": total, "used_bytes": total - free}
    return found


def _kb(text: str | None) -> int | None:
    return int(text.split()[0]) * 1024 if text and text.split()[0].isdigit() else None


def _software(tree: Tree) -> dict[str, Any]:
    here = tree.root == Path("/")
    libc = " ".join(platform.libc_ver()) if here else ""
    return {
        "kernel": tree.text("proc/sys/kernel/osrelease") or (platform.release() if here else None),
        "os": tree.fields("etc/os-release").get("PRETTY_NAME") or (platform.platform() if here else None),
        "libc": libc.strip(),
    }


def _confinement(tree: Tree, cpu: Cpu) -> dict[str, Any]:
    return {
        "virtualization": _virtual_machine(tree, cpu),
        "container": _container(tree),
        "cgroup_cpu_quota": cgroup_cpu_quota(tree.root),
        "cgroup_memory_bytes": cgroup_memory(tree.root)[0],
        "allowed_cpus": len(_affinity()) if tree.root == Path("/") else None,
    }


def _virtual_machine(tree: Tree, cpu: Cpu) -> str | None:
    if "hypervisor" not in cpu.flags:
        return tree.text("sys/hypervisor/type")
    return tree.text("sys/hypervisor/type") or tree.text("sys/class/dmi/id/sys_vendor") or "virtual machine"


def _container(tree: Tree) -> str | None:
    if tree.path(".dockerenv").exists():
        return "docker"
    if tree.path("run/.containerenv").exists():
        return "podman"
    match = re.search(r"docker|kubepods|libpod|lxc", tree.text("proc/1/cgroup") or "")
    return match[0] if match else None


def cgroup_cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs' worth of time this process may use (docker --cpus), the tightest limit above it; None without one."""
    tree = Tree(root)
    limits = [
        quota for version, group in _groups(tree, "cpu") for level in (group, *group.parents)
        if (quota := _quota(tree, version, level)) is not None
    ]  # fmt: skip
    return min(limits) if limits else None


def cgroup_memory(root: Path = Path("/")) -> tuple[int | None, int | None]:
    """(bytes this process and its group may use, the tightest limit above it; bytes left); None without a limit."""
    tree, limits = Tree(root), []
    for version, group in _groups(tree, "memory"):
        for level in (group, *group.parents):
            folder = f"sys/fs/cgroup/{level}" if version == 2 else f"sys/fs/cgroup/memory/{level}"
            names = ("memory.max", "memory.current") if version == 2 else (
                "memory.limit_in_bytes", "memory.usage_in_bytes")  # fmt: skip
            most, used = (tree.number(f"{folder}/{name}") for name in names)
            if most is not None and most < _NO_LIMIT:
                limits.append((most, most - (used or 0)))
    if not limits:
        return None, None
    return min(most for most, _ in limits), min(left for _, left in limits)


# Version 1 of control groups writes the largest page-aligned number where there is no limit.
_NO_LIMIT = 1 << 60


def _groups(tree: Tree, controller: str) -> list[tuple[int, Path]]:
    """(version of control groups, the group of this process) where `controller` is ruled."""
    found = []
    for line in (tree.text("proc/self/cgroup") or "").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "" or controller in controllers.split(","):
            found.append((2 if controllers == "" else 1, Path(group.lstrip("/"))))
    return found


def _quota(tree: Tree, version: int, level: Path) -> float | None:
    if version == 2:
        quota, _, period = (tree.text(f"sys/fs/cgroup/{level}/cpu.max") or "").partition(" ")
    else:
        quota = tree.text(f"sys/fs/cgroup/cpu/{level}/cpu.cfs_quota_us") or ""
        period = tree.text(f"sys/fs/cgroup/cpu/{level}/cpu.cfs_period_us") or ""
    # "max" and -1 stand for no limit
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _power(tree: Tree) -> dict[str, Any]:
    states = {}
    for supply in tree.glob("sys/class/power_supply/*"):
        if tree.text(supply / "scope") != "Device":  # the battery of a mouse does not drive the machine
            states[tree.text(supply / "type")] = tree.text(supply / "status") or tree.text(supply / "online")
    source = None
    if states.get("Battery") == "Discharging":
        source = "battery"
    elif states.get("Mains") == "1" or states.get("Battery") in ("Charging", "Full", "Not charging"):
        source = "ac"
    mode = tree.text("var/lib/nvpmodel/status") or tree.text("sys/firmware/acpi/platform_profile")
    return {"power_source": source, "power_mode": mode}


def temperatures_c(root: Path = Path("/")) -> dict[str, float]:
    """Zone type -> degrees Celsius; zones that are switched off are absent."""
    tree, found = Tree(root), {}
    for zone in tree.glob("sys/class/thermal/thermal_zone*"):
        kind, value = tree.text(zone / "type"), tree.number(zone / "temp")
        if value is not None:
            name = kind or zone.name
            found[name if name not in found else f"{name} {zone.name}"] = value / 1000
    return found


def pi_throttled(root: Path = Path("/"), ask: Ask | None = None) -> str | None:
    """Raspberry Pi's get_throttled bits as "0x50005": bit 0 under-voltage, 1 clock capped, 2 throttled, 3 soft
    temperature limit; bits 16 to 19 the same since boot.

    ask   what answers as "throttled=0x50005" on a Raspberry Pi whose kernel has no file for them; None = vcgencmd,
          on this machine only
    """
    tree = Tree(root)
    for pattern in ("soc/soc:firmware/get_throttled", "soc*/*firmware*/get_throttled"):
        for place in tree.glob(f"sys/devices/platform/{pattern}"):
            found = tree.text(place)
            if found and re.fullmatch(r"(0x)?[0-9a-fA-F]+", found):
                return f"0x{int(found, 16):x}"
    answer = re.search(r"throttled=0x([0-9a-fA-F]+)", _pi_says(tree, ask, "get_throttled") or "")
    return f"0x{int(answer[1], 16):x}" if answer else None


def _pi_says(tree: Tree, ask: Ask | None, word: str) -> str | None:
    """A recorded tree is not the machine that the tool would ask."""
    ask = ask or (_vcgencmd if tree.root == Path("/") else None)
    return ask(word) if ask is not None and "Raspberry Pi" in (board_model(tree.root) or "") else None


def _vcgencmd(word: str) -> str | None:
    """None where the tool is missing or may not ask."""
    try:
        done = subprocess.run(["vcgencmd", word], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout


def _affinity() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def allowed_cpus(root: Path = Path("/")) -> int:
    """Logical CPUs this process may use: taskset, cpuset and the CPU quota of its container counted in."""
    quota = cgroup_cpu_quota(root)
    return _within(len(_affinity()), quota)


def _within(cpus: int, quota: float | None) -> int:
    # A quota of 1.5 CPUs holds one spinning thread; two would be stopped by the kernel every period.
    return max(1, cpus if quota is None else min(cpus, int(quota)))


def preferred_cpus(profile: Threads, root: Path = Path("/"), allowed: frozenset[int] | None = None) -> tuple[int, ...]:
    """The allowed logical CPUs the runtime should run on: without the little cores when the profile says so."""
    cpu, usable = read_cpu(root), _affinity() if allowed is None else allowed
    big = usable & cpu.big if profile.big_cores_only else frozenset()
    return tuple(sorted(big or usable))


def default_threads(profile: Threads, root: Path = Path("/"), allowed: frozenset[int] | None = None) -> int:
    """Threads for the runtime: one for each physical core this process may use (the big ones where cores differ),
    at most as many as the profile and the CPU quota allow.

    onnxruntime itself counts all cores of the machine, also those a container may not use.
    """
    preferred = frozenset(preferred_cpus(profile, root, allowed))
    cores = _within(read_cpu(root).physical(preferred), cgroup_cpu_quota(root))
    return max(1, min(cores, profile.threads) if profile.threads else cores)
