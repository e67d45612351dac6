"""Two arms of the latency test, several builds of each: a builder may make a faster and a slower engine of one file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hardedge.console import note
from hardedge.contracts import Bundle, load, seal
from hardedge.deploy.backends.request import BuildRequest
from hardedge.deploy.bundles.validity import check_model, read_model
from hardedge.deploy.engines import build as engines
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.latency.pair_process import EnginesInTurn, time_pair_apart
from hardedge.deploy.latency.paired_runs import Open, TimePair
from hardedge.errors import Unavailable
from hardedge.graphs.files import copy_onnx

FEWEST_BUILDS = 5  # of an arm: the units that the interval is bootstrapped over


@dataclass(frozen=True)
class RepeatedBuilds:
    """The shipped network twice (`first`, `second`: what builds alone do), and the plain one where there is its file.

    Each opens one of its builds after another; `timed` is how a pair of them is timed, in a process of its own.
    """

    target: str
    builds: int
    first: Open
    second: Open
    plain: Open | None
    timed: TimePair = time_pair_apart

    def __str__(self) -> str:
        return f"{self.builds} builds an arm for {self.target}"


def build_repeatedly(
    bundle: Path, plain: Path | None, targets: Sequence[str], builds: int, folder: Path, request: BuildRequest
) -> RepeatedBuilds | None:
    """Builds the arms for the first target that runs here, FP32; None, and a note, where none does.

    `plain` is the plain network's ONNX file, pixels in and mask out; the builds are left in `folder`. Raises BadInput
    for a file that cannot be used, and as build does.
    """
    others = _with_model(bundle, plain, folder / "plain") if plain else None
    for target in targets:
        try:
            shipped = _build_plans(bundle, target, 2 * builds, folder / "shipped", request)
            compared = _build_plans(others, target, builds, folder / "other", request) if others else None
        except Unavailable as error:
            note(f"{builds} builds an arm are not compared for {target}: {error}")
            continue
        first, second = EnginesInTurn(shipped[:builds]), EnginesInTurn(shipped[builds:])
        return RepeatedBuilds(target, builds, first, second, EnginesInTurn(compared) if compared else None)
    return None


def _build_plans(bundle: Path, target: str, count: int, folder: Path, request: BuildRequest) -> list[Path]:
    paths = [folder / target.replace(":", "-") / str(number) for number in range(count)]
    made = engines.repeat_build(bundle, target, paths, request=request)
    next(made)
    open_runner(paths[0]).close()  # what does not run here is not built again and again
    for _ in made:
        pass
    return paths


def _with_model(directory: Path, onnx: Path, out: Path) -> Path:
    """What building needs of a bundle, with another FP32 file."""
    from hardedge.graphs.canonical import complexity_of, onnx_digest

    check_model(onnx)
    bundle, model = load(Bundle, directory), read_model(onnx)
    out.mkdir(parents=True)
    copy_onnx(onnx, out / "model.onnx")
    shutil.copytree(directory / "golden", out / "golden")
    counted = complexity_of(model, bundle.profile.opt)
    file = replace(bundle.model("fp32"), path="model.onnx", onnx_digest=onnx_digest(model), census=counted)
    seal(out, replace(bundle, models=(file,), control=None))
    return out
