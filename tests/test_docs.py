"""Documents are up to date: generated files, the commands in them and their code."""

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hardedge.cli import cli
from hardedge.pages.glossary import glossary_markdown

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = {"README.md": README} | {
    path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "log.md"
}
LINE = re.compile(r"^ {4,}hardedge (.+?)(?:\s+[#>].*)?$", re.MULTILINE)  # without a comment, and where its output goes
COMMANDS = sorted(set(LINE.findall("\n".join(DOCUMENTS.values()))))
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name, text in DOCUMENTS.items()
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
]


def test_the_schemas_are_those_of_the_contracts() -> None:
    generated = runpy.run_path(str(ROOT / "docs/generate.py"))["generated"]()
    written = {path.name: path.read_text() for path in (ROOT / "docs/schema").glob("*.json")}
    assert written == generated, "run: python docs/generate.py"


def test_the_page_of_the_command_line_is_that_of_the_commands() -> None:
    # in a process of its own: click keeps the first help option that it makes of a command, and tests make some
    program = f"import runpy; print(runpy.run_path({str(ROOT / 'docs/generate.py')!r})['command_line'](), end='')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=850)
    assert DOCUMENTS["cli.md"] == done.stdout, "run: python docs/generate.py"


def test_the_glossary_is_that_of_the_reports() -> None:
    assert DOCUMENTS["glossary.md"] == glossary_markdown(), "run: python docs/generate.py"


def test_the_pictures_are_made_from_what_there_is() -> None:
    made_from = json.loads((ROOT / "docs/img/pictures.json").read_text())
    module = runpy.run_path(str(ROOT / "docs/pictures.py"))
    assert made_from == module["sources"](), "run: python docs/pictures.py"
    assert {path.name for path in (ROOT / "docs/img").glob("*.webp")} == set(module["DRAWN"])


def test_the_page_of_the_library_is_that_of_the_code_and_everything_has_an_example() -> None:
    made = runpy.run_path(str(ROOT / "docs/generate.py"))
    assert DOCUMENTS["api.md"] == made["api_page"](), "run: python docs/generate.py"
    names = {name.rpartition(".")[2] for part in made["API"].values() for name in part} - {"errors"}
    with_cells = {made["CELLS_OF"].get(name, name) for name in names - set(made["COMMANDS_OF"])}
    assert with_cells == set(made["example_cells"]())
    for line in made["COMMANDS_OF"].values():
        _, name, *arguments = shlex.split(line)
        cli.commands[name].make_context(name, arguments)


@pytest.mark.slow  # trains, exports and verifies
def test_the_notebook_and_the_examples_run(tmp_path: Path) -> None:
    for name in ("notebook.py", "examples.py"):
        command = [sys.executable, str(ROOT / "docs" / name)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "deployed/report/report.html").is_file()


def test_the_pages_make_a_site_without_a_warning(tmp_path: Path) -> None:
    """Every link and anchor leads somewhere, every page is in the navigation, and every name of api.md exists."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in ("train", "export", "deploy", "models", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    settings = (ROOT / "zensical.toml").read_text()
    (tmp_path / "zensical.toml").write_text(settings)
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=850)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert pages == set(re.findall(r'"([\w-]+\.md)"', settings))
    api = (tmp_path / "build/site/api.html").read_text()
    assert all(f'id="{name}"' in api for name in re.findall(r"^::: (\S+)", DOCUMENTS["api.md"], re.MULTILINE))


@pytest.mark.parametrize("line", COMMANDS)
def test_the_documents_commands_are_understood(line: str) -> None:
    name, *arguments = shlex.split(line)
    # parsed as the program would: unknown commands, options and values raise; test_documented_commands.py runs them
    cli.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^    make ([\w-]+)", README, re.MULTILINE))))
def test_the_readmes_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_documents_settings_are_fields_of_a_recipe() -> None:
    from hardedge.train.recipes import find_recipe

    inline = re.findall(r"`(--set [^`]+)`", "\n".join(DOCUMENTS.values()))
    lines = [shlex.split(line) for line in (*COMMANDS, *inline)]
    settings = [words[place + 1] for words in lines for place, word in enumerate(words) if word == "--set"]
    assert len(settings) >= 10
    for setting in settings:
        field, _, value = setting.partition("=")
        find_recipe("camvid", {field: value})


@pytest.mark.parametrize("block", BLOCKS)
def test_the_documents_code_runs(block: str) -> None:
    """In a process of its own, as a reader would: Lightning warns, and a warning here is an error."""
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False, timeout=850)
    assert done.returncode == 0, done.stderr


def test_the_table_of_the_losses_has_every_name() -> None:
    from hardedge.train.losses import LOSSES

    rows = [line.split("|")[1] for line in DOCUMENTS["losses.md"].split("## Combining")[0].splitlines() if "|" in line]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(LOSSES)


def test_the_table_of_the_public_data_sets_is_that_of_the_readers() -> None:
    from hardedge.data.layouts import LAYOUTS

    rows = [line.replace("\\", "") for line in DOCUMENTS["data.md"].splitlines() if line.startswith("| `")]
    assert len(rows) == len(LAYOUTS)
    for row, layout in zip(rows, LAYOUTS, strict=True):
        marks = " or ".join(f"`{mark}`" for mark in layout.marks)
        assert row.startswith(f"| `{layout.name}` | {layout.task.num_classes} | {marks} | "), row
        assert row.endswith(f" | {layout.note} |"), row


def test_the_configuration_of_the_triton_page_is_the_commands(finished: Path, tmp_path: Path) -> None:
    from hardedge.deploy.triton.config import Serving
    from hardedge.deploy.triton.repository import write_model

    (page,) = re.findall(r"```text\n(.*?)```", DOCUMENTS["triton.md"], re.DOTALL)
    write_model(finished / "run/bundle", tmp_path, name="streets", serving=Serving(delay=500))
    written = (tmp_path / "streets/config.pbtxt").read_text()
    page = page.replace("dims: 512", "dims: 64").replace("dims: 1024", "dims: 96")  # of other images
    assert re.sub(r"default-\w{8}", "", page) == re.sub(r"default-\w{8}", "", written)
