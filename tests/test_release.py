"""What a release hands out: numbers that agree, a wheel and an sdist that are whole and run when installed."""

import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
import tomllib
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
OUT = ROOT / "build/release"  # kept: it is what is handed out when all of this passes
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]


def run(*command: object, cwd: Path | None = None) -> str:
    """What the command prints; its stderr is in the failure."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, timeout=850)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked() -> list[str]:
    return run("git", "-C", ROOT, "ls-files", "-z").split("\0")[:-1]


def test_the_changelogs_newest_entry_is_this_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    entries = [re.fullmatch(r"(\d+\.\d+\.\d+) \((unreleased|\d{4}-\d{2}-\d{2})\)", heading) for heading in headings]
    assert all(entries), headings
    numbers = [tuple(map(int, entry[1].split("."))) for entry in entries if entry]
    assert headings[0].split()[0] == VERSION
    assert numbers == sorted(set(numbers), reverse=True)
    assert [heading for heading in headings[1:] if "unreleased" in heading] == []


def test_the_program_and_what_it_writes_have_this_version() -> None:
    import hardedge

    assert hardedge.__version__ == VERSION
    assert run(BIN / "hardedge", "--version") == f"hardedge, version {VERSION}\n"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, made of the committed files alone, and the wheel that is made of the sdist."""
    tree = tmp_path_factory.mktemp("release") / "tree"
    tree.mkdir()
    run("cp", "--archive", "--parents", "--target-directory", tree, *tracked(), cwd=ROOT)
    for old in OUT.glob("*"):
        old.unlink()
    run(sys.executable, "-m", "build", "--outdir", OUT, tree)
    (sdist,), (wheel,) = OUT.glob("*.tar.gz"), OUT.glob("*.whl")
    return sdist, wheel


@pytest.mark.slow
def test_twine_finds_no_fault(distributions: tuple[Path, Path]) -> None:
    assert run(BIN / "twine", "check", "--strict", *distributions).count("PASSED") == 2


@pytest.mark.slow
def test_the_wheel_has_every_module_and_nothing_else(distributions: tuple[Path, Path]) -> None:
    sdist, wheel = distributions
    assert (sdist.name, wheel.name) == (f"hardedge-{VERSION}.tar.gz", f"hardedge-{VERSION}-py3-none-any.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    stages = r"(models|train|export|deploy)/"
    ours = [name.removeprefix("src/") for name in tracked() if re.match(rf"{stages}|src/hardedge/", name)]
    modules = {re.sub(rf"^{stages}", r"hardedge/\1/", name) for name in ours if name.endswith((".py", "py.typed"))}
    assert shipped == modules
    with tarfile.open(sdist) as archive:
        named = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md"} <= named


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1], ids=["sdist", "wheel"])
def test_it_runs_in_an_empty_environment(
    which: int, distributions: tuple[Path, Path], tiny_dataset: Path, tmp_path: Path
) -> None:
    program = installed(tmp_path / "empty", [str(distributions[which])])
    assert run(program, "--version") == f"hardedge, version {VERSION}\n"
    assert "no fault" in run(program, "check", tiny_dataset)
    done = subprocess.run([program, "recipes"], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "pip install 'hardedge[train]'" in done.stderr


@pytest.mark.slow
def test_the_edge_side_runs_beside_the_oldest_versions_that_it_asks_for(
    distributions: tuple[Path, Path], finished: Path, tmp_path: Path
) -> None:
    program = installed(tmp_path / "oldest", [str(distributions[1]), *oldest(PROJECT["dependencies"])])
    bundle, data = finished / "run/bundle", finished / "data"
    told = run(program, "verify", bundle, "--data", data, "--out", tmp_path / "report", "--latency", "0s")
    assert "onnxruntime:cpu fp32: pass" in told
    run(program, "predict", bundle, data / "images", "--out", tmp_path / "masks")
    assert len(list((tmp_path / "masks/masks").iterdir())) == len(list((data / "images").iterdir()))


def installed(home: Path, requirements: Iterable[str]) -> Path:
    """The program in a new environment with these and what they ask for."""
    venv.create(home, with_pip=True)
    run(home / "bin/python", "-m", "pip", "install", "--quiet", *requirements)
    return home / "bin/hardedge"


def oldest(requirements: Iterable[str]) -> list[str]:
    """The requirements of this machine, each at its lower bound."""
    found = [Requirement(line) for line in requirements]
    here = [each for each in found if each.marker is None or each.marker.evaluate()]
    bounds = [(each.name, next(bound.version for bound in each.specifier if bound.operator == ">=")) for each in here]
    return [f"{name}=={bound}.*" if bound.count(".") < 2 else f"{name}=={bound}" for name, bound in bounds]
