"""What CI systems read: gates.toml, summary.md, and the examples of docs/ci.md."""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hardedge.cli import cli
from hardedge.contracts import Report, load
from hardedge.deploy.report.markdown import report_markdown
from hardedge.deploy.verification.gates import Gates, read_gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput

PAGE = (Path(__file__).parents[3] / "docs/ci.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_gates_are_read_from_a_file(tmp_path: Path) -> None:
    path = written(tmp_path / "gates.toml", 'max-miou-drop = 0\nmax-overhead = 1.5\nrequire = "level0-engines"\n')
    assert read_gates(path) == Gates(max_miou_drop=0, max_overhead=1.5, require="level0-engines")
    assert read_gates(written(tmp_path / "empty.toml", "# nothing\n")) == Gates()


def test_an_option_goes_before_the_file() -> None:
    file = Gates(max_miou_drop=0.5, require="level0")
    assert Gates(max_miou_drop=0.0).over(file) == Gates(max_miou_drop=0.0, require="level0")
    assert Gates().over(file) == file
    assert file.over(Gates(max_overhead=1.0)) == Gates(max_miou_drop=0.5, max_overhead=1.0, require="level0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max-miou-dorp = 0.1", "max-miou-dorp: no such gate. Did you mean max-miou-drop?"),
        ("max_overhead = 1", "max_overhead: no such gate. Did you mean max-overhead?"),
        ("max-overhead = -1", "max-overhead: expected a number of percent, 0 or more, got -1"),
        ("max-overhead = nan", "got nan"),
        ("max-overhead = inf", "got inf"),
        ("max-overhead = true", "got True"),
        ("max-unseen = 100", "max-unseen: expected a number of percent, between 0 and 100"),
        ('max-miou-drop = "0.1"', "max-miou-drop: expected a number of points"),
        ('require = "level2"', 'require: expected "level0" or'),
        ("[gates]\nmax-overhead = 1", "gates: no such gate"),
        ("max-overhead 1", "is not TOML"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        read_gates(written(tmp_path / "gates.toml", text))


def test_all_wrong_lines_are_named_together_and_a_missing_file(tmp_path: Path) -> None:
    path = written(tmp_path / "gates.toml", 'max-overhead = "a"\nrequire = 3\nother = 1\n')
    with pytest.raises(BadInput, match="(?s)max-overhead.*require.*other.*Known: max-miou-drop"):
        read_gates(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_gates(tmp_path / "nowhere.toml")


def test_the_program_reads_the_file(
    shared_bundle: Path, shared_engine: Path, shared_data: Path, tmp_path: Path, hardedge: Callable[..., object]
) -> None:
    path = written(tmp_path / "gates.toml", 'require = "level0-engines"\nmax-miou-drop = 0.1\nmax-unseen = 40\n')
    done = hardedge(
        *("verify", shared_bundle, shared_engine, "--data", shared_data, "--out", tmp_path / "report"),
        *("--latency", "0s", "--gates", path),
    )
    # the bundle made by hand has no engine digests: undecided, and so not held
    assert (done.returncode, done.stdout.count("PASS")) == (1, 0)  # type: ignore[attr-defined]
    assert "could not decide --require" in done.stderr  # type: ignore[attr-defined]
    report = load(Report, tmp_path / "report")
    assert [(gate.name, gate.status) for gate in report.gates] == [
        ("--max-miou-drop", "pass"),
        ("--require", "inconclusive"),
        ("batches", "pass"),
        ("image sizes", "pass"),
    ]
    assert "❔ inconclusive" in (tmp_path / "report/summary.md").read_text()


@pytest.fixture(scope="module")
def report(
    shared_bundle: Path, shared_engine: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Report:
    out = tmp_path_factory.mktemp("summary") / "report"
    return verify(
        shared_bundle,
        [shared_engine],
        shared_data,
        out,
        gates=Gates(max_miou_drop=0.1, max_unseen=40),
        latency_seconds=0.1,
    )


def test_the_summary_has_every_check_in_one_table_each(report: Report) -> None:
    text = report_markdown(report)
    assert text.startswith("## ✅ hardedge: PASS\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert widths == [4] * 10 + [6] * 3
    for said in (
        "gate --max-miou-drop at most 0.1 points | ✅ pass",
        "parity: onnxruntime:cpu fp32 | ✅ pass",
        "| 64x96 |",
    ):
        assert said in text


def test_nothing_from_the_data_is_markup(report: Report) -> None:
    hostile = "a|b\n<script>`x` **y** _z_"
    network = replace(report.network, name=hostile.replace("\n", " "))
    text = report_markdown(replace(report, data=hostile, network=network))
    assert "<script>" not in text
    assert r"a\|b &lt;script&gt;\`x\` \*\*y\*\* \_z\_" in text


def commands(text: str) -> list[str]:
    """The shell lines of an example: `run` of every step, or `script`."""
    example = yaml.safe_load(text)
    jobs = example.get("jobs", example)
    found = []
    for job in jobs.values():
        found += [step["run"] for step in job.get("steps", ()) if "run" in step] + job.get("script", [])
    return found


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_are_yaml_and_their_commands_exist(text: str) -> None:
    lines = commands(text)
    ours = [shlex.split(line) for line in lines if line.startswith("hardedge ")]
    assert len(ours) == 1
    for _, name, *arguments in ours:
        # parsed as the program would, not run: unknown commands, options and values raise
        cli.commands[name].make_context(name, arguments)
    assert any("hardedge[export]" in line for line in lines)
    for path in re.findall(r"deployed/report/(\S+)", text):
        assert path in ("summary.md", "junit.xml")


def test_the_pages_gates_are_gates(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert read_gates(written(tmp_path / "gates.toml", text)).require == "level0"


def test_both_systems_are_there() -> None:
    assert len(EXAMPLES) == 2
    github, gitlab = (yaml.safe_load(text) for text in EXAMPLES)
    assert {"name", "jobs"} <= github.keys()
    assert gitlab["verify"]["artifacts"]["reports"]["junit"] == "deployed/report/junit.xml"


def test_the_files_that_the_page_names_are_written(report: Report, tmp_path: Path) -> None:
    assert {"summary.md", "junit.xml", "report.html"} <= set(report.files)
