"""What is installed: the packages, the extras, and the edge side without torch, in a plain virtual environment."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EDGE_MODULES = sorted(
    f"hardedge.{path.relative_to(ROOT).with_suffix('').as_posix().replace('/', '.')}"
    for path in (ROOT / "deploy").glob("*.py")
    if path.stem not in ("__init__", "__main__")
)
SHARED_MODULES = sorted(
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    for path in [*(ROOT / "src/hardedge").glob("*.py"), *(ROOT / "src/hardedge/data").rglob("*.py")]
    if path.stem not in ("__init__", "__main__")
)


def test_every_folder_with_code_is_a_listed_package() -> None:
    source = ROOT / "src/hardedge"
    found = {"hardedge"}
    for top in [path for path in source.iterdir() if path.is_dir() and path.name != "__pycache__"]:
        for file in top.resolve().rglob("*.py"):
            inside = file.parent.relative_to(top.resolve())
            found.add(".".join(("hardedge", top.name, *inside.parts)))
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("stage", ["models", "train", "export", "deploy"])
def test_a_stage_imported_by_its_folder_name_is_refused(stage: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {stage}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"import hardedge.{stage}, not {stage}" in done.stderr


def test_a_users_own_train_py_does_not_shadow_ours(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "models").mkdir()
    program = "import hardedge.train, hardedge.models; print(hardedge.train.__name__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "hardedge.train\n"


def test_exactly_one_onnxruntime_on_every_platform() -> None:
    from packaging.requirements import Requirement

    found = [Requirement(line) for line in PROJECT["project"]["dependencies"] if line.startswith("onnxruntime")]
    platforms = [("x86_64", "linux"), ("AMD64", "win32"), ("aarch64", "linux"), ("arm64", "darwin"), ("ARM64", "win32")]
    for machine, system in platforms:
        marks = {"platform_machine": machine, "sys_platform": system}
        chosen = [
            requirement.name for requirement in found if requirement.marker and requirement.marker.evaluate(marks)
        ]
        expected = "onnxruntime-gpu" if machine in ("x86_64", "AMD64") else "onnxruntime"
        assert chosen == [expected], (machine, system)


def test_the_edge_side_imports_without_torch(edge: Path) -> None:
    modules = [module for module in SHARED_MODULES + EDGE_MODULES if module != "hardedge.deploy.tensorrt.build_process"]
    program = (
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([edge / "python", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")
    listed = subprocess.run([edge / "python", "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"^(torch|torchvision|tensorrt)\s", listed, re.MULTILINE)


@pytest.mark.parametrize("command", [[], ["deploy"], ["verify"], ["predict"], ["check"], ["run"], ["train"]])
def test_the_commands_start_without_torch(edge: Path, command: list[str]) -> None:
    done = subprocess.run([edge / "hardedge", *command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Usage: hardedge" in done.stdout


def test_training_without_the_extra_says_how_to_add_it(edge: Path, tmp_path: Path) -> None:
    done = subprocess.run([edge / "hardedge", "run"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "pip install 'hardedge[train]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
