"""Every speed target beside what was measured, what it is measured against, and what limits it: docs/performance.md.

    python benchmarks/performance.py [--kept runs/bench] [--only losses,runtime] [--out docs/performance.md]

Runs each benchmark as its own process where the folder has no result of it yet, and writes the page from all results
that are there; a benchmark without one stands in it as not run. Remove a result to measure it again.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import losses
from measure import names_among

from hardedge.console import note
from hardedge.contracts import write_atomically

HERE = Path(__file__).parent
COMMANDS: dict[str, tuple[str, ...]] = {
    "limits": (),
    "start_up": (),
    "demo": (),
    "confusion_metric": ("--seconds", "8"),
    "losses": ("--seconds", "8"),
    "hardness_step": ("--seconds", "80", "--size", "128"),
    "loader": ("--seconds", "30"),
    "training_switches": ("--seconds", "60"),
    "end_to_end": ("--seconds", "80"),
    "runtime": ("--seconds", "150"),
    "export_time": (),
    "scale": (),  # without a target: docs/scale.md has its figures
}
Found = dict[str, Any]  # a benchmark's JSON
HELP = 0.3  # seconds of CPU time for --help
LOSS_MEMORY = 2.5  # times cross-entropy's; ssl and dfr have no bound


@dataclass(frozen=True)
class Row:
    """One target: what is measured over which peer, its bound, what was measured, whether it holds, and the limit."""

    subject: str
    peer: str
    target: str
    measured: str
    holds: str
    limit: str = ""


def over(timing: Found) -> str:
    return f"{timing['ratio']:.2f} [{timing['low']:.2f}, {timing['high']:.2f}]"


def at_most(bound: float, timing: Found) -> tuple[str, str]:
    """The target in words, and whether it holds: what an interval with the bound in it does not say."""
    holds = "yes" if timing["high"] <= bound else "**no**" if timing["low"] > bound else "not shown"
    return f"at most {bound:g}", holds


def at_least(bound: float, timing: Found) -> tuple[str, str]:
    holds = "yes" if timing["low"] >= bound else "**no**" if timing["high"] < bound else "not shown"
    return f"at least {bound:g}", holds


def below(bound: float, value: float) -> str:
    """Whether a single figure holds its bound."""
    return "yes" if value <= bound else "**no**"


def start_up_rows(found: Found, _limits: Found) -> Iterable[Row]:
    for result in found["results"]:
        if result["arm"].startswith("hardedge"):
            seconds = result["timing"]["ms"] / 1000
            measured = f"{seconds:.2f} s, {over(result['timing'])} of the peer"
            yield Row(result["arm"], "python with click", f"at most {HELP:g} s of CPU", measured, below(HELP, seconds))


def demo_rows(found: Found, _limits: Found) -> Iterable[Row]:
    bound, whole = found["target_s"], found["whole_s"]
    limit = f"training {found['training_s']:.0f} s, export {found['export_s']:.0f} s, engines and their checks the rest"
    measured = f"{whole:.0f} s, mIoU {found['miou']:.1f} %"
    yield Row("hardedge run, street scenes", "none known", f"at most {bound} s", measured, below(bound, whole), limit)


def confusion_rows(found: Found, limits: Found) -> Iterable[Row]:
    for result in found["results"]:
        if result["arm"] == "torchmetrics, unchecked":
            size = f"{result['classes']} classes, {result['height']}x{result['width']}"
            text, holds = at_least(3, result)
            yield Row(
                f"confusion counts, {size}",
                "torchmetrics without its checks, over ours",
                text,
                over(result),
                holds,
                limits.get("confusion counts", ""),
            )


def loss_rows(found: Found, limits: Found) -> Iterable[Row]:
    naive = {result["loss"]: result["timing"]["ratio"] for result in found["results"] if result["form"] == "naive"}
    for result in found["results"]:
        name, bound = result["loss"], losses.TARGETS.get(result["loss"])
        if result["form"] == "ours" and bound:
            text, holds = at_most(bound, result["timing"])
            plain = f"; the naive form takes {naive[name]:.1f}" if name in naive else ""
            limit = limits.get(f"loss {name}", "")
            memory = result["memory_ratio"]
            if name != "ssl":
                text += f"; memory {LOSS_MEMORY:g}"
                holds = holds if memory <= LOSS_MEMORY else "**no**"
            measured = f"{over(result['timing'])}; memory {memory:.2f}"
            yield Row(f"loss {name}", f"F.cross_entropy{plain}", text, measured, holds, limit)


def step_rows(found: Found, limits: Found) -> Iterable[Row]:
    for result in found["results"]:
        if result["arm"].startswith("hardness"):
            light = result["arm"].endswith("light")
            text, holds = at_most(1.05, result["timing"]) if light else ("none", "")
            subject = f"training step, {result['arm']}, {result['network']}"
            memory = f"; memory {result['memory_ratio']:.2f}"
            limit = limits.get(f"step {result['network']}", "")
            peer = "the same step with cross-entropy (HL's released logs: 1.17)"
            yield Row(subject, peer, text, over(result["timing"]) + memory, holds, limit)


def loader_rows(found: Found, limits: Found) -> Iterable[Row]:
    for result in found["results"]:
        if result["arm"] in ("hardedge", "prepared"):
            subject = f"loader, {result['arm']}, {result['data']}"
            measured = f"{over(result['timing'])}, {result['images_per_second']:.1f} images/s"
            yield Row(subject, "plain torchvision", "none", measured, "", limits.get("loader", ""))


def switch_rows(found: Found, _limits: Found) -> Iterable[Row]:
    for result in found["results"]:
        if result["arm"] not in ("plain", "plain again"):
            yield Row(f"training step, {result['arm']}", "without it", "none", over(result["timing"]), "")


def end_to_end_rows(found: Found, limits: Found) -> Iterable[Row]:
    for network, result in found["results"].items():
        limit = limits.get(f"end to end {network}", "")
        text, holds = at_most(1.03, result["own"]["hardedge"])
        subject = f"image to mask, {network}"
        yield Row(subject, "onnxruntime's own session", text, over(result["own"]["hardedge"]), holds, limit)
        for arm in ("usual, float32", "usual, float64"):
            usual = result["others"][arm]
            text, holds = at_least(1.2, usual)
            yield Row(f"{arm}, {network}", "hardedge", text, over(usual), holds, limit)


def runtime_rows(found: Found, limits: Found) -> Iterable[Row]:
    arms = {(result["part"], result["arm"]): result["timing"] for result in found["results"]}
    for part in ("wrapper, small", "wrapper, large"):
        text, holds = at_most(1.03, arms[part, "Segmenter"])
        subject = f"Segmenter, {arms[part, 'session']['ms']:.2f} ms a run"
        # of a network that takes next to nothing, the target is not meant
        bound, kept = (text, holds) if part.endswith("large") else ("none", "")
        yield Row(subject, "its own session", bound, over(arms[part, "Segmenter"]), kept, limits.get("wrapper", ""))
    decoding, computing, writing = (
        arms["folder", f"{name} alone"]["ms"] for name in ("decoding", "computing", "writing")
    )
    text, holds = at_most(1.11, arms["folder", "predict"])
    limit = (
        f"alone, an image takes {decoding:.1f} ms of decoding, {computing:.1f} of computing, {writing:.1f} of writing"
    )
    yield Row("predict over a folder", "computing alone", text, over(arms["folder", "predict"]), holds, limit)


def export_rows(found: Found, _limits: Found) -> Iterable[Row]:
    for result in found["results"]:
        steps = sorted(result["steps"].items(), key=lambda entry: entry[1], reverse=True)
        limit = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in steps if name != "reference")
        bound, value = result["target_s"], result["counted_s"]
        subject = f"export to a verified bundle, {result['network']}, {result['precisions']}"
        yield Row(subject, "none known", f"at most {bound:g} s", f"{value:.1f} s", below(bound, value), limit)


ROWS: dict[str, Callable[[Found, Found], Iterable[Row]]] = {
    "start_up": start_up_rows,
    "demo": demo_rows,
    "confusion_metric": confusion_rows,
    "losses": loss_rows,
    "hardness_step": step_rows,
    "training_switches": switch_rows,
    "loader": loader_rows,
    "end_to_end": end_to_end_rows,
    "runtime": runtime_rows,
    "export_time": export_rows,
}


def measure(name: str, kept: Path) -> None:
    """Runs a benchmark, unless its result is kept."""
    path = kept / f"{name}.json"
    if not path.is_file():
        note(name)
        command = [sys.executable, str(HERE / f"{name}.py"), *COMMANDS[name], "--json"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        json.loads(done.stdout)
        write_atomically(path, done.stdout)


def page(kept: Path) -> str:
    """The document, from the results that are there."""
    results = {
        name: json.loads((kept / f"{name}.json").read_text()) for name in COMMANDS if (kept / f"{name}.json").is_file()
    }
    limits = results.get("limits", {}).get("limits", {})
    rows = [row for name, make in ROWS.items() if name in results for row in make(results[name], limits)]
    missing = [name for name in COMMANDS if name not in results]
    lines = [
        "# Performance",
        "",
        "    python benchmarks/performance.py --out docs/performance.md",
        "",
        "A ratio is of two arms that take turns in one process, with a 95 % bootstrap interval over blocks of turns;",
        "time in seconds is of one run. A target was set before measuring; *none* means that there is none. It holds,",
        "or does not, where the whole interval is on that side; *not shown* is an interval with the target in it. What",
        "limits a row comes from a profile of its subject: the largest shares of its own time, by operators of torch",
        "or onnxruntime, or by Python's functions. Other programs are in comparison.md. On GPUs: not measured.",
        "",
        "| what | over | target | measured | holds | limited by |",
        "|---|---|---|---|---|---|",
        *map(line, rows),
        "",
        *(machine_line(name, result) for name, result in results.items()),
        *([f"- Not run yet: {', '.join(missing)}."] if missing else []),
        "",
    ]
    return "\n".join(lines)


def line(row: Row) -> str:
    return f"| {row.subject} | {row.peer} | {row.target} | {row.measured} | {row.holds} | {row.limit} |"


def machine_line(name: str, result: Found) -> str:
    command = " ".join(("python", f"benchmarks/{name}.py", *COMMANDS[name]))
    return f"- `{command}`: " + ", ".join(f"{key} {value}" for key, value in result["machine"].items())


def main() -> None:
    parser = argparse.ArgumentParser(description="All speed targets in one table.")
    parser.add_argument("--kept", type=Path, default=Path("runs/bench"), help="where results are kept")
    parser.add_argument(
        "--only", type=names_among(tuple(COMMANDS)), default=list(COMMANDS), help="measure these alone, by commas"
    )
    parser.add_argument("--out", type=Path, help="the document to write; without it, print")
    args = parser.parse_args()
    args.kept.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        measure(name, args.kept)
    text = page(args.kept)
    if args.out:
        write_atomically(args.out, text.encode())
    else:
        print(text)


if __name__ == "__main__":
    main()
