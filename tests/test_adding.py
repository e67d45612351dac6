"""docs/adding.md, done: its changes in a copy of the tree, then its commands."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.contracts import Bundle, Report, load

ROOT = Path(__file__).parents[1]
SECTIONS = dict(part.split("\n", 1) for part in (ROOT / "docs/adding.md").read_text().split("\n## ")[1:])
BLOCK = re.compile(r"```py\n# (\S+?)(?:, (after|instead of): ([^\n]*))?\n(.*?)```", re.DOTALL)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The files of the tree that the page changes or runs, as copies."""
    for name in ("models", "train", "export", "deploy", "src", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def apply(section: str, tree: Path) -> None:
    """Writes the new files of a section, and adds its lines to the others."""
    for name, how, anchor, content in BLOCK.findall(section):
        path = tree / name
        if not how:
            assert not path.exists(), f"{name} is there already"
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
            continue
        lines = path.read_text().splitlines()
        assert lines.count(anchor) == 1, f"{name} has {lines.count(anchor)} lines: {anchor}"
        place = lines.index(anchor)
        lines[place : place + 1] = ([anchor] if how == "after" else []) + content.splitlines()
        path.write_text("\n".join(lines) + "\n")


def command(section: str, tree: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the section's command in the tree, with the tree's own modules."""
    (line,) = re.findall(r"^    (\S.+)$", re.sub(r"```.*?```", "", section, flags=re.DOTALL), re.MULTILINE)
    program, *arguments = shlex.split(line)
    head = {"python": [sys.executable], "hardedge": [sys.executable, "-m", "hardedge"]}[program]
    return subprocess.run(
        [*head, *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=850,
    )


@pytest.mark.slow  # runs whole test files a second time
@pytest.mark.parametrize(("title", "passed"), [("A loss", 15), ("A network", 5)])
def test_the_tests_run_over_what_was_added(title: str, passed: int, tree: Path) -> None:
    before = command(SECTIONS[title], tree)
    assert "no tests ran" in before.stdout or " deselected" in before.stdout
    assert " passed" not in before.stdout
    apply(SECTIONS[title], tree)
    done = command(SECTIONS[title], tree)
    assert done.returncode == 0, done.stdout
    found = re.search(r"(\d+) passed", done.stdout)
    assert found is not None
    assert int(found[1]) >= passed


def test_a_data_set_is_read(tree: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in {"train": 8, "test": 2}.items():
        for folder in ("photos", "labels"):
            (tree / "gardens" / folder / split).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(
                tree / f"gardens/photos/{split}/{split}{number}.jpg"
            )
            label_HW = rng.integers(0, 3, (32, 48), dtype=np.uint8)
            Image.fromarray(label_HW).save(tree / f"gardens/labels/{split}/{split}{number}.png")
    assert "has no classes.json" in command(SECTIONS["A data set"], tree).stdout
    apply(SECTIONS["A data set"], tree)
    done = command(SECTIONS["A data set"], tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lawn" in done.stdout
    assert "path" in done.stdout


def test_a_runtime_builds_verifies_and_is_known(tree: Path, finished: Path) -> None:
    shutil.copytree(finished / "run/bundle", tree / "bundle")
    shutil.copytree(finished / "data", tree / "data")
    assert 'unknown target "onnx-reference:cpu"' in command(SECTIONS["A runtime"], tree).stderr
    apply(SECTIONS["A runtime"], tree)
    done = command(SECTIONS["A runtime"], tree)
    assert done.returncode == 0, done.stderr
    report = load(Report, tree / "engines/report")
    (parity,), (engine,) = report.parity, report.engines
    assert parity.target == "onnx-reference:cpu"
    assert parity.pixel_agreement > 0.999  # ties of the two best classes may fall otherwise
    assert (engine.builder, engine.builder_version) == ("onnx-reference", version("onnx"))


@pytest.mark.slow  # a conversion and its engines: a minute or two
def test_a_precision_is_exported(tree: Path, finished: Path) -> None:
    for name in ("run/checkpoint", "data"):
        shutil.copytree(finished / name, tree / Path(name).name)
    assert 'unknown precision "int8-fp32"' in command(SECTIONS["A precision"], tree).stderr
    apply(SECTIONS["A precision"], tree)
    done = command(SECTIONS["A precision"], tree)
    assert done.returncode == 0, done.stderr
    conversion = load(Bundle, tree / "bundle").model("int8-fp32").conversion
    assert conversion is not None
    assert set(conversion.multiply_adds) == {"int8", "fp32"}
    assert conversion.agreement.margin == 0.5


def test_a_precision_is_one_line(tree: Path) -> None:
    """What follows from it without a conversion: its name, its gate, what its shares are counted as."""
    apply(SECTIONS["A precision"], tree)
    program = (
        "from hardedge.deploy.precisions import cannot_hold, parse_precisions\n"
        "from hardedge.deploy.verification.limits import parse_required_share\n"
        "from hardedge.graphs.element_types import PRECISION_OF\n"
        "from hardedge.precisions import precision_named\n"
        "(name,) = parse_precisions('int8-fp32')\n"
        "print(parse_required_share(f'{name}>=0.9'), precision_named(name).counted_as)\n"
        "print(cannot_hold('onnxruntime:cpu', name), sorted(PRECISION_OF.values()))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    shares = "['bf16', 'fp16', 'fp32', 'fp64', 'fp8', 'int8']"
    assert done.stdout == f"('int8-fp32', 0.9) int8\nNone {shares}\n", done.stderr


def test_the_lines_are_few() -> None:
    """Of code in a new file, and in the files that are there."""
    for title, section in SECTIONS.items():
        blocks = BLOCK.findall(section)
        beside = [line for _, how, _, content in blocks if how for line in content.splitlines()]
        assert 1 <= len(beside) < 10, title
        for name, how, _, content in blocks:
            if not how:
                assert len(code_lines(content)) < 10, name


def code_lines(content: str) -> list[str]:
    """The lines without imports, docstrings of one line, comments and empty ones."""
    lines = [line.strip() for line in content.splitlines()]
    return [line for line in lines if line and not line.startswith(("import ", "from ", '"""', "#"))]
