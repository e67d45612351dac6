"""The tune stage: a bundle in, a bundle out with the INT8 file's most sensitive nodes back in FP16."""

import dataclasses
import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from hardedge.artefact import disk_errors, require_free, staged_directory
from hardedge.console import note, progress_bar
from hardedge.contracts import Bundle, load
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import read_image
from hardedge.data.opening import open_dataset
from hardedge.data.palette import save_mask
from hardedge.deploy.bundles.same_data import require_same_data
from hardedge.deploy.parity.subset import compared_ids
from hardedge.errors import BadInput, GateFailed
from hardedge.export.components import require_extendable
from hardedge.export.precisions.accuracy import PrecisionReference, measure_agreement, session_for
from hardedge.export.precisions.coverage import multiply_adds_by_precision
from hardedge.export.tune.latency import Stopwatch, candidate_timer
from hardedge.export.tune.mixed import partly_quantised, quantised_nodes
from hardedge.export.tune.record import LOW, Measure, MixtureLatency, NodeError, Progress, Search, Step, Tuning
from hardedge.export.tune.search import Found, find_fewest, find_most, order_nodes
from hardedge.export.tune.write import choose_mixture, write_tuned
from hardedge.graphs.canonical import node_multiply_adds
from hardedge.graphs.probes import PROBE, logits_form
from hardedge.graphs.rounding import rounded_form
from hardedge.paths import StrPath, local_paths
from hardedge.statistics.signed import signed_text, span_text
from hardedge.version import __version__

SPLIT = "val"  # the test split judges what was found here
SENSITIVITY_IMAGES = 2

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a mixture must keep to: a loss of mIoU in points, or its time on a target over FP32's, at most `limit`."""

    measure: Measure
    limit: float

    def __str__(self) -> str:
        return f"{self.measure}<={self.limit:g}"


def parse_goal(text: str) -> Goal:
    """The goal of `miou-drop<=POINTS` or `latency<=SHARE`; raises BadInput for any other."""
    match = re.fullmatch(r"\s*(miou-drop|latency)\s*<=\s*(\d+(?:\.\d+)?)\s*", text)
    if not match:
        raise BadInput(
            f'goal "{text}": expected miou-drop<=POINTS, for example miou-drop<=0.2, or latency<=SHARE of FP32\'s, for '
            "example latency<=0.6."
        )
    return Goal("latency" if match[1] == "latency" else "miou-drop", float(match[2]))


def tune(
    bundle: StrPath, data: StrPath, out: StrPath, *, goal: Goal, latency: str | None = None, force: bool = False
) -> tuple[Bundle, Tuning]:
    """Writes the bundle again with model.mixed.onnx, tuning.json and pareto.svg.

    Nodes go back to FP16 in the order of what quantising each alone does to the logits: as few as keep mIoU on the
    validation split within the goal, or as many as keep the time within it, by the upper end of its interval.
    `latency` names a target that runs here, on which every mixture that was measured is timed beside FP32. A search
    that was killed goes on with its finished steps. Raises BadInput for a bundle without an INT8 file or with other
    data, GateFailed when no mixture meets the goal, Unavailable when the target does not run here.
    """
    bundle, data, out = local_paths((bundle, data, out))
    require_free(out, force, [bundle, data])
    require_extendable(bundle)
    if goal.measure == "latency" and latency is None:
        raise BadInput(f"the goal {goal} is measured on a target that runs here. Name it with --latency.")
    with disk_errors():
        search = _open(bundle, data, out)
        # opened before the search: a target that does not run is told at once
        with candidate_timer(bundle, search.bundle, latency) if latency else nullcontext() as timer:
            order = _order(search)
            found = _search(search, order, goal, timer)
            tuning = _tuning_record(search, order, found, goal)
            if timer:
                latencies = tuple(_time_mixture(search, order, step.kept, timer) for step in tuning.steps)
                tuning = dataclasses.replace(tuning, target=timer.target, latencies=latencies)
        with staged_directory(out, force=force) as directory:
            tuned = write_tuned(search, tuning, directory)
        search.progress.clear()
    return tuned, tuning


def _search(search: Search, order: list[NodeError], goal: Goal, timer: Stopwatch | None) -> Found[Step]:
    """The mixture that meets the goal, and every one that was tried; raises GateFailed where none does."""
    if timer is None or goal.measure == "miou-drop":
        found = find_fewest(len(order), lambda kept: _step(search, order, kept), lambda step: _drop(step) <= goal.limit)
        if found is None:
            raise GateFailed(f"not even FP16 everywhere keeps the mIoU within {goal.limit:g} points. Allow more.")
        return found

    def fast(step: Step) -> bool:
        return _time_mixture(search, order, step.kept, timer).comparison.interval.high <= goal.limit

    found = find_most(len(order), lambda kept: _step(search, order, kept), fast)
    if found is None:
        raise GateFailed(f"not even INT8 everywhere takes at most {goal.limit:g} of FP32's time. Allow more.")
    return found


def _tuning_record(search: Search, order: list[NodeError], found: Found[Step], goal: Goal) -> Tuning:
    return Tuning(
        made_from=search.bundle.digest,
        goal=goal.limit,
        measure=goal.measure,
        split=SPLIT,
        images=len(search.reference.ids),
        order=tuple(order),
        steps=tuple(step for _, step in sorted(found.tried.items())),
        chosen=found.count,
    )


def _time_mixture(search: Search, order: list[NodeError], kept: int, timer: Stopwatch) -> MixtureLatency:
    found = search.progress.latency(timer.target, kept)
    if found is None:
        arm = f"{kept} of {len(order)} nodes in FP16"
        found = MixtureLatency(kept=kept, comparison=timer.measured(choose_mixture(search, order, kept), arm))
        search.progress.save_latency(timer.target, found)
    ratio, interval = found.comparison.ratio, found.comparison.interval
    note(f"{found.comparison.arm}: {ratio:.3f} [{interval.low:.3f}, {interval.high:.3f}] of FP32's latency")
    return found


def _drop(step: Step) -> float:
    return -step.agreement.difference


def _open(directory: Path, data: Path, out: Path) -> Search:
    bundle = load(Bundle, directory)
    if LOW not in {model.precision for model in bundle.models}:
        raise BadInput(f"{directory} has no INT8 file to tune. Export it with: hardedge export ... --precision int8")
    dataset = open_dataset(data)
    require_same_data(bundle, dataset)
    key = {"bundle": bundle.digest, "data": dataset.digest(), "hardedge": __version__}
    progress = Progress(out.with_name(f".{out.name}.partial-tune"), key)
    fp32 = onnx.load(directory / bundle.model("fp32").path)
    ids = compared_ids(dataset.splits[SPLIT], bundle.model("fp32").census.multiply_adds)
    return Search(
        directory=directory,
        bundle=bundle,
        model=onnx.load(directory / bundle.model(LOW).path),
        dataset=dataset,
        reference=_reference(fp32, directory, bundle, dataset, ids, progress.folder / "masks"),
        progress=progress,
    )


def _reference(
    fp32: onnx.ModelProto, directory: Path, bundle: Bundle, dataset: Dataset, ids: tuple[str, ...], masks: Path
) -> PrecisionReference:
    masks.mkdir(exist_ok=True)
    session = session_for(fp32, "fp32")
    for id in progress_bar(ids, f"FP32 masks of {SPLIT}"):
        if not (masks / f"{id}.png").is_file():
            save_mask(
                session.run(["mask"], {"image": dataset.image(id)[None]})[0][0], dataset.task, masks / f"{id}.png"
            )
    golden = tuple(read_image(directory / "golden" / "images" / f"{id}.png") for id in bundle.golden)
    return PrecisionReference(model=fp32, golden=golden, dataset=dataset, masks=masks, ids=ids)


def _order(search: Search) -> list[NodeError]:
    """The quantised nodes, the most sensitive first."""
    nodes = {node.name: node.op_type for node in quantised_nodes(search.model)}
    errors = search.progress.errors()
    images = sorted((search.directory / "calibration").glob("*.png"))[:SENSITIVITY_IMAGES]
    exact = _logits(partly_quantised(search.model, ()), images)
    for name in progress_bar([name for name in nodes if name not in errors], "sensitivity of each node"):
        logits = _logits(partly_quantised(search.model, {name}), images)
        squares = [float(np.square(a - b, dtype=np.float64).mean()) for a, b in zip(logits, exact, strict=True)]
        errors[name] = float(np.sqrt(np.mean(squares)))
        search.progress.save_errors(errors)
    counts = {node.name: count for node, count in node_multiply_adds(search.model, search.bundle.profile.opt)}
    return [
        NodeError(node=name, operator=nodes[name], error=errors[name], multiply_adds=counts.get(name, 0))
        for name in order_nodes({name: errors[name] for name in nodes}, counts)
    ]


def _logits(model: onnx.ModelProto, images: list[Path]) -> list[Floats]:
    session = session_for(logits_form(rounded_form(model)), LOW)
    return [session.run([PROBE], {"image": read_image(path)[None]})[0] for path in images]


def _step(search: Search, order: list[NodeError], kept: int) -> Step:
    step = search.progress.step(kept)
    if step is None:
        model = choose_mixture(search, order, kept)
        step = Step(
            kept=kept, int8_share=_share(search, model), agreement=measure_agreement(model, LOW, search.reference)
        )
        search.progress.save_step(step)
    note(f"{kept} of {len(order)} nodes in FP16: {tuning_text(step)}")
    return step


def tuning_text(step: Step) -> str:
    """One step in words."""
    found = step.agreement
    interval = span_text(found.interval.low, found.interval.high, 2)
    share = f"{100 * step.int8_share:.1f} % of the multiply-adds in INT8"
    return f"{share}, mIoU {signed_text(found.difference, 2)} points {interval} on {found.images} images"


def _share(search: Search, model: onnx.ModelProto) -> float:
    counts = multiply_adds_by_precision(model, search.bundle.profile.opt)
    return counts.get(LOW, 0) / max(sum(counts.values()), 1)
