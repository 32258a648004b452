"""What may import what. The device side runs where torch, transformers and onnx are not installed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import edgeft

PACKAGE = Path(edgeft.__file__).parent
WORKSTATION = {"tuning", "quant", "exporting", "explaining"}
HEAVY = {
    "torch", "torchvision", "transformers", "timm", "onnx", "onnxscript", "onnx_ir", "accelerate", "safetensors",
    "captum",
}  # fmt: skip
DEVICE_FILES = [
    path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in WORKSTATION
]
# Lowest first; a module may import from its own layer and from lower ones.
LAYERS = [
    {
        "errors", "registry", "files", "console", "toml", "sysfiles", "options", "budget", "specs", "packages",
        "checkout",
        "form", "policies", "contents", "surroundings", "ranks",
    },
    {"recipe", "scheme", "cpu", "smbios", "machine", "profile", "detect", "onnxfile", "archive", "bundle"},
    {"tasks", "data", "runfolder"},
    {"tuning", "quant", "exporting", "explaining", "evaluation", "report", "doctor"},
    {"steps", "pipeline", "outcome"},
    {"cli", "__main__", "__init__"},
]


def imported(path: Path) -> set[str]:
    """Every module the file names in an import, late ones too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def layer_of(module: str) -> int | None:
    return next((number for number, names in enumerate(LAYERS) if module in names), None)


@pytest.mark.parametrize("path", DEVICE_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_device_side_names_no_heavy_package(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imported(path)} & HEAVY


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = layer_of(path.relative_to(PACKAGE).parts[0].removesuffix(".py"))
    assert own is not None, f"{path.name} is in no layer; add it to LAYERS"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "edgeft" or len(parts) == 1:
            continue
        other = layer_of(parts[1])
        if other is not None:
            assert other <= own, f"{path.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_is_python_3_10(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 10))


@pytest.mark.parametrize("side", ["evaluation", "report"])
def test_the_device_side_does_not_reach_the_workstation_side(side: str) -> None:
    for path in (PACKAGE / side).rglob("*.py"):
        reached = {name.split(".")[1] for name in imported(path) if name.startswith("edgeft.")}
        assert not reached & WORKSTATION, path.name


def test_device_modules_import_without_the_heavy_packages() -> None:
    """Import every device-side module where the heavy packages cannot be found."""
    modules = [
        ".".join(("edgeft", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in DEVICE_FILES
        if path.name != "__main__.py"
    ]
    code = f"""
import importlib, sys
for name in {sorted(HEAVY)!r}:
    sys.modules[name] = None
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The extra "report" may be absent: then there are no plots, and no other part may miss it.
        if error.name not in ("matplotlib", "jinja2") or not name.startswith("edgeft.report."):
            raise
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_no_output_but_through_the_console() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            assert not named, f"{path.name} line {getattr(node, 'lineno', 0)} prints"


def test_no_temporary_file_is_opened_by_its_name_while_it_is_open() -> None:  # C04
    """On Windows that is a PermissionError; edgeft.files closes a file before it renames it."""
    for path in PACKAGE.rglob("*.py"):
        named = {node.attr for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                 if isinstance(node, ast.Attribute)}  # fmt: skip
        assert not named & {"NamedTemporaryFile", "SpooledTemporaryFile", "mktemp"}, path.name
        assert "mkstemp" not in named or path.name == "files.py", path.name


def test_the_lazy_functions_are_there_and_load_nothing() -> None:
    code = "import edgeft, sys; print(sorted(edgeft.__all__), {'torch', 'numpy', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "['compare', 'evaluate', 'export', 'run', 'tune'] set()"
