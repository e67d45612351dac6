"""The page of a bench: figures, comparisons and the plot of mIoU, latency and size."""

from __future__ import annotations

from pathlib import Path

from hardedge.artefact import staged
from hardedge.contracts import Bench, BenchRun, to_json, write_atomically
from hardedge.deploy.latency.sensors import in_words
from hardedge.deploy.report.tradeoffs import TITLE, drawn, points_of_bench
from hardedge.pages.charts import intervals
from hardedge.pages.markup import Markup, facts, note, number, section, size_of, table, tag
from hardedge.pages.page import page

MIOU = "mIoU is that of the test split as export measured it: of torch for FP32, in onnxruntime for other precisions."


def write_bench(found: Bench, out: Path, force: bool) -> None:
    """Writes bench.json and bench.html into the directory `out`."""
    with staged(out, force=force) as partial:
        write_atomically(partial / "bench.html", html(found).encode())
        write_atomically(partial / "bench.json", to_json(found).encode())


def html(found: Bench) -> str:
    """The page, complete in itself."""
    sections = (engines(found), tradeoffs(found), comparisons(found), section("Machine", facts(found.machine.items())))
    kicker = tag("p", f"hardedge bench · {found.created}", class_="kicker")
    top = tag("header", kicker, tag("h1", "Engines side by side"))
    return page("hardedge bench", tag("main", top, *sections))


def engines(found: Bench) -> Markup:
    head = ("engine", "image", "p50", "p90", "p99", "images/s", "copy in", "compute", "copy out", "J an image", "size")
    rows = [row(run) for run in found.runs]
    said = dict.fromkeys(f"Energy of {run.target}: {in_words(run.sensors)}." for run in found.runs if run.sensors)
    times = table("Each alone, in milliseconds", head, rows, numeric=range(1, 11), sortable=True)
    return section("Engines", times, *map(note, said))


def row(run: BenchRun) -> tuple[str, ...]:
    times = (run.p50, run.p90, run.p99, run.images_per_second, run.copy_in, run.compute, run.copy_out)
    size = f"{run.batch} × {run.size[1]} × {run.size[0]}"
    figures = (number(value) for value in times)
    return (f"{run.target} {run.precision}", size, *figures, number(run.energy, 3), size_of(run.engine_bytes))


def tradeoffs(found: Bench) -> Markup:
    return section(TITLE, *drawn(points_of_bench(found.runs)), note(MIOU))


def comparisons(found: Bench) -> Markup:
    if not found.comparisons:
        return section("Comparisons", note("Nothing was compared: one engine, or too little time."))
    caption = "Change of the median latency; shaded: ±1 %, within which two arms count as equivalent"
    rows = [(f"{each.arm} ({each.status})", each) for each in found.comparisons]
    details = [note(f"{each.arm}: {each.detail}") for each in found.comparisons]
    return section("Comparisons", tag("figure", tag("figcaption", caption), intervals(rows)), *details)
