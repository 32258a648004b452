"""The processor: model, instruction sets, cores of each kind, and how it multiplies 8-bit numbers."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeft.sysfiles import Tree, cpu_list

# MIDR part numbers of Arm's small cores (Cortex-A35, A53, A55, A510, A520), from their reference manuals.
_LITTLE_PARTS = {"0xd04", "0xd03", "0xd05", "0xd46", "0xd80"}

# Best path first: (name, flags of which one must be there). microsoft/onnxruntime, core/mlas/lib/platform.cpp.
_X86_PATHS = (
    ("amx", ("amx_int8",)),
    ("avx512_vnni", ("avx512_vnni",)),
    ("avx_vnni", ("avx_vnni",)),
    ("avx512", ("avx512bw",)),
    ("avx2", ("avx2",)),
)
# Products of uint8 and int8 pairs are added in 16 bits there (VPMADDUBSW) and saturate, unless weights keep to 7 bits.
_SATURATING = ("avx2", "avx512")
_ARM_PATHS = (("i8mm", ("i8mm",)), ("dotprod", ("asimddp", "dotprod")), ("neon", ("asimd", "neon")))


@dataclass(frozen=True)
class Cpu:
    """What the kernel says about the processor; None or empty where it says nothing.

    architecture  "x86_64", "aarch64", … as `uname -m` has it
    implementer   MIDR implementer of ARM cores ("0x41" Arm, "0x51" Qualcomm, "0x61" Apple): parts are its numbers
    parts         MIDR part numbers of ARM cores, each kind once, by first appearance
    flags         instruction-set flags that every core has
    online        numbers of the logical CPUs
    core_of       logical CPU -> its physical core, for those that say so
    little        logical CPUs of the smallest kind of core, empty when all are alike
    """

    architecture: str
    model: str | None = None
    vendor: str | None = None
    implementer: str | None = None
    parts: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    online: tuple[int, ...] = ()
    core_of: Mapping[int, str] = field(default_factory=dict)
    little: frozenset[int] = frozenset()

    @property
    def big(self) -> frozenset[int]:
        return frozenset(self.online) - self.little if self.little else frozenset()

    def physical(self, cpus: frozenset[int]) -> int:
        """Number of physical cores behind these logical CPUs."""
        return len({self.core_of.get(cpu, f"cpu{cpu}") for cpu in cpus})

    @property
    def int8_path(self) -> str:
        """How onnxruntime multiplies 8-bit numbers here: the best kernel this processor has."""
        paths = _X86_PATHS if self.architecture in ("x86_64", "AMD64") else _ARM_PATHS
        return next((name for name, wanted in paths if not self.flags.isdisjoint(wanted)), "none")

    @property
    def saturates(self) -> bool:
        """Do products of uint8 data and 8-bit weights overflow here? 7-bit weights never do."""
        return self.int8_path in _SATURATING


def read_cpu(root: Path = Path("/")) -> Cpu:
    tree = Tree(root)
    blocks = _blocks(tree.text("proc/cpuinfo") or "")
    if not blocks:
        return _without_proc() if root == Path("/") else Cpu("unknown")
    online = tuple(int(block["processor"]) for block in blocks if block.get("processor", "").isdigit())
    parts = {int(block["processor"]): block["CPU part"].lower() for block in blocks if "CPU part" in block}
    return Cpu(
        architecture=_architecture(blocks, root),
        model=_first(blocks, "model name") or _first(blocks, "Hardware"),
        vendor=_first(blocks, "vendor_id"),
        implementer=(_first(blocks, "CPU implementer") or "").lower() or None,
        parts=tuple(dict.fromkeys(parts.values())),
        flags=_common_flags(blocks),
        online=online,
        core_of=_cores(tree, blocks, online),
        little=_little(tree, online, parts),
    )


def _blocks(cpuinfo: str) -> list[dict[str, str]]:
    """One dict for each logical CPU."""
    blocks: list[dict[str, str]] = []
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == "processor":
            blocks.append({})
        if colon and blocks:
            blocks[-1].setdefault(key.strip(), value.strip())
    return blocks


def _architecture(blocks: list[dict[str, str]], root: Path) -> str:
    if root == Path("/"):
        return platform.machine()
    return "x86_64" if "flags" in blocks[0] else "aarch64"


def _first(blocks: list[dict[str, str]], key: str) -> str | None:
    return next((block[key] for block in blocks if block.get(key)), None)


def _common_flags(blocks: list[dict[str, str]]) -> frozenset[str]:
    sets = [frozenset((block.get("flags") or block.get("Features") or "").split()) for block in blocks]
    return frozenset.intersection(*sets)


def _cores(tree: Tree, blocks: list[dict[str, str]], online: tuple[int, ...]) -> dict[int, str]:
    found = {}
    for cpu, block in zip(online, blocks, strict=False):
        folder = f"sys/devices/system/cpu/cpu{cpu}/topology"
        package, core = tree.text(f"{folder}/physical_package_id"), tree.text(f"{folder}/core_id")
        siblings = tree.text(f"{folder}/thread_siblings_list")
        if siblings is not None:  # core numbers repeat in each cluster of some ARM boards; siblings never lie
            found[cpu] = siblings
        elif core is not None:
            found[cpu] = f"{package}:{core}"
        elif "core id" in block:
            found[cpu] = f"{block.get('physical id')}:{block['core id']}"
    return found


def _little(tree: Tree, online: tuple[int, ...], parts: Mapping[int, str]) -> frozenset[int]:
    """Intel says so itself; else the CPUs of the least capacity, else those whose part is a small core."""
    atoms = tree.text("sys/devices/cpu_atom/cpus")
    if atoms is not None:
        found = frozenset(cpu_list(atoms))
        return found if found < frozenset(online) else frozenset()
    capacity = {cpu: tree.number(f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity") for cpu in online}
    known = {value for value in capacity.values() if value is not None}
    if len(known) > 1 and None not in capacity.values():
        return frozenset(cpu for cpu, value in capacity.items() if value == min(known))
    small = frozenset(cpu for cpu, part in parts.items() if part in _LITTLE_PARTS)
    return small if small and small < frozenset(online) else frozenset()


def _without_proc() -> Cpu:
    """macOS and others without /proc/cpuinfo."""
    if platform.system() != "Darwin":
        return Cpu(platform.machine(), model=platform.processor() or None)
    big, little = _sysctl("hw.perflevel0.logicalcpu"), _sysctl("hw.perflevel1.logicalcpu")
    total = int(_sysctl("hw.logicalcpu") or 0)
    flags = {"asimd"} if platform.machine() == "arm64" else set()
    for name, flag in (("FEAT_DotProd", "asimddp"), ("FEAT_I8MM", "i8mm")):
        if _sysctl(f"hw.optional.arm.{name}") == "1":
            flags.add(flag)
    few = frozenset(range(int(big), int(big) + int(little))) if big and little else frozenset()
    model = _sysctl("machdep.cpu.brand_string")
    return Cpu(platform.machine(), model=model, flags=frozenset(flags), online=tuple(range(total)), little=few)


def _sysctl(name: str) -> str | None:
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
