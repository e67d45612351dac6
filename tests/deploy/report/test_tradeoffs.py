"""mIoU against latency and size: engines that no other beats, the plot in places and words, the page of a bench."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from xml.etree import ElementTree

import pytest

from hardedge.contracts import Bench, BenchRun, Bundle, MachineLoad, load, read_json
from hardedge.deploy.latency.bench import bench_text
from hardedge.deploy.latency.machine_load import busy_lines
from hardedge.deploy.report.bench_page import bench_html
from hardedge.deploy.report.tradeoffs import (
    FEW,
    Point,
    axes_around,
    front,
    heights_of_names,
    points_to_draw,
    tradeoff_plot,
)
from hardedge.pages.scatter import HEIGHT
from hardedge.statistics.pareto import beats

FP32 = Point("onnxruntime:cpu fp32", 70.0, 20.0, 8_000_000)
FP16 = Point("onnxruntime:cpu fp16", 70.0, 10.0, 4_000_000)
INT8 = Point("onnxruntime:cpu int8", 68.5, 6.0, 2_000_000)
SLOW = Point("slow int8", 68.0, 30.0, 3_000_000)


def test_what_no_other_beats_is_the_front() -> None:
    assert front([FP32, FP16, INT8, SLOW]) == [INT8, FP16]
    assert front([FP32, SLOW]) == [FP32, SLOW]  # slower and worse, but smaller
    same = Point("twin", 70.0, 10.0, 4_000_000)
    assert front([FP16, same]) == [FP16, same]
    assert not beats(FP16.costs, same.costs)
    assert beats(FP16.costs, FP32.costs)


def test_the_plot_has_every_engine_in_its_place_and_in_words() -> None:
    points = [FP32, FP16, INT8]
    svg = ElementTree.fromstring(str(tradeoff_plot(points)))
    label = str(svg.get("aria-label")).replace("\u202f", " ")
    assert "onnxruntime:cpu fp16: 70.00 % mIoU, 10.00 ms, 4.00 MB" in label
    assert label.endswith("Not beaten: onnxruntime:cpu int8, onnxruntime:cpu fp16.")
    dots = [(group.findtext("title"), group.find("circle")) for group in svg.iter("g")]
    circles = {title.split(" · ")[0]: circle for title, circle in dots if title and circle is not None}
    x, y, radius = (
        {name: float(circle.get(key, "").rstrip("%")) for name, circle in circles.items()} for key in ("cx", "cy", "r")
    )
    assert x[INT8.name] < x[FP16.name] < x[FP32.name]
    assert y[FP16.name] == y[FP32.name] < y[INT8.name] < HEIGHT
    assert radius[INT8.name] < radius[FP16.name] < radius[FP32.name]
    assert circles[FP32.name].get("class") == "beaten"
    assert circles[FP16.name].get("class") == "dot"
    # latencies start at 0: half the time is half the way
    axes = axes_around(points)
    assert axes.x(10) - axes.x(0) == pytest.approx((axes.x(20) - axes.x(0)) / 2)


def test_names_do_not_lie_on_each_other() -> None:
    assert heights_of_names([150, 152, 10]) == [119, 134, -8]
    assert heights_of_names([150, 150, 150]) == [132, 117, 102]


def test_one_engine_is_no_trade_off() -> None:
    assert FEW in points_to_draw([FP32])[0]
    assert FEW in points_to_draw([])[0]
    assert "beaten" in "".join(points_to_draw([FP32, FP16]))


def run(precision: str, p50: float, miou: float | None) -> BenchRun:
    return BenchRun(
        target="onnxruntime:cpu",
        precision=precision,
        batch=1,
        size=(64, 96),
        runs=10,
        p50=p50,
        p90=p50,
        p99=p50,
        images_per_second=1000 / p50,
        copy_in=0,
        compute=p50,
        copy_out=0,
        memory=None,
        gpu_memory=None,
        engine_bytes=int(1e6 * p50),
        miou=miou,
    )


def test_only_runs_of_known_miou_are_drawn() -> None:
    runs = (run("fp32", 20.0, 70.0), run("int8", 6.0, 68.5), run("fp8", 5.0, None))
    text = bench_html(Bench(bundle="0" * 64, runs=runs, comparisons=(), machine={"cpu": "<b>"}, created="now"))
    assert text.count("<circle") == 2
    assert "fp8" in text
    assert "<dd>&lt;b&gt;</dd>" in text


def test_times_of_a_busy_machine_are_told_for_what_they_are() -> None:
    quiet, busy = (MachineLoad(cores=4, before=taken, during=taken, after=taken) for taken in (0.9, 1.1))
    runs = (replace(run("fp32", 20.0, 70.0), load=quiet), replace(run("int8", 6.0, 68.5), load=busy))
    (said,) = busy_lines((*runs, run("fp16", 9.0, 70.0)))
    assert said.startswith("onnxruntime:cpu int8: its times may be too long: other processes kept 1.1 of 4 cores busy")
    found = Bench(bundle="0" * 64, runs=runs, comparisons=(), machine={}, created="now")
    assert said in bench_html(found)
    assert bench_text(found).endswith(said)


def test_a_real_bench_writes_its_page(
    shared_bundle: Path, tmp_path: Path, hardedge: Callable[..., CompletedProcess[str]]
) -> None:
    out = tmp_path / "bench"
    done = hardedge("bench", shared_bundle, "--time", "0.2s", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Energy of onnxruntime:cpu: " in done.stdout
    found = read_json(Bench, out / "bench.json")
    (only,) = found.runs
    assert only.miou == pytest.approx(load(Bundle, shared_bundle).reference.score.miou)
    assert 0 < only.p50 <= only.p90 <= only.p99
    assert 1000 * only.batch / only.images_per_second > only.p50 / 2  # the mean time of an image
    assert only.copy_in + only.compute + only.copy_out <= only.p99
    assert only.sensors is not None
    assert (only.energy is None) == (only.sensors.power is None)
    assert only.sensors.power is not None or only.sensors.source.startswith("not measured: no sensor")
    page = (out / "bench.html").read_text()
    assert ">Trade-offs<" not in page
    assert ">Comparisons<" not in page
    again = hardedge("bench", shared_bundle, "--time", "0.2s", "--out", out)
    assert again.returncode == 2
    assert "exists. Give another --out, or --force" in again.stderr
    assert hardedge("bench", shared_bundle, "--time", "0.2s", "--out", out, "--force").returncode == 0
