"""The page of a bench: figures, comparisons and the plot of mIoU, latency and size."""

from __future__ import annotations

from pathlib import Path

from hardedge.artefact import staged_directory
from hardedge.contracts import Bench, BenchRun, to_json, write_atomically
from hardedge.deploy.latency.machine_load import busy_lines
from hardedge.deploy.latency.sensors import sensor_text
from hardedge.deploy.report.tradeoffs import TITLE, points_of_bench, points_to_draw
from hardedge.pages.charts import intervals
from hardedge.pages.markup import Markup, facts_list, html_table, note_line, number_text, section, size_text, tag
from hardedge.pages.page import page

MIOU = "mIoU is that of the test split as export measured it: of torch for FP32, in onnxruntime for other precisions."


def write_bench(found: Bench, out: Path, force: bool) -> None:
    """Writes bench.json and bench.html into the directory `out`."""
    with staged_directory(out, force=force) as partial:
        write_atomically(partial / "bench.html", bench_html(found).encode())
        write_atomically(partial / "bench.json", to_json(found).encode())


def bench_html(found: Bench) -> str:
    """The page, complete in itself."""
    compared = (bench_tradeoffs(found), bench_comparisons(found)) if len(found.runs) > 1 else ()
    sections = (bench_engines(found), *compared, section("Machine", facts_list(found.machine.items())))
    kicker = tag("p", f"hardedge bench · {found.created}", class_="kicker")
    top = tag("header", kicker, tag("h1", "Engines side by side"))
    return page("hardedge bench", tag("main", top, *sections))


def bench_engines(found: Bench) -> Markup:
    head = ("engine", "image", "p50", "p90", "p99", "images/s", "copy in", "compute", "copy out", "J an image", "size")
    rows = [bench_row(run) for run in found.runs]
    said = dict.fromkeys(f"Energy of {run.target}: {sensor_text(run.sensors)}." for run in found.runs if run.sensors)
    times = html_table("Each alone, in milliseconds", head, rows, numeric=range(1, 11), sortable=True)
    return section("Engines", times, *map(note_line, said), *(note_line(f"{each}.") for each in busy_lines(found.runs)))


def bench_row(run: BenchRun) -> tuple[str, ...]:
    times = (*run.percentiles.values(), run.images_per_second, run.copy_in, run.compute, run.copy_out)
    size = f"{run.batch} × {run.size[0]} × {run.size[1]}"
    figures = (number_text(value) for value in times)
    return (f"{run.target} {run.precision}", size, *figures, number_text(run.energy, 3), size_text(run.engine_bytes))


def bench_tradeoffs(found: Bench) -> Markup:
    drawn = points_to_draw(points_of_bench(found.runs))
    return section(TITLE, *drawn, *map(note_line, found.dominated), note_line(MIOU))


def bench_comparisons(found: Bench) -> Markup:
    if not found.comparisons:
        return section("Comparisons", note_line("Nothing was compared: too little time."))
    caption = "Change of the median latency; shaded: ±1 %, within which two arms count as equivalent"
    rows = [(f"{each.arm} ({each.status})", each) for each in found.comparisons]
    details = [note_line(f"{each.arm}: {each.detail}") for each in found.comparisons]
    return section("Comparisons", tag("figure", tag("figcaption", caption), intervals(rows)), *details)
