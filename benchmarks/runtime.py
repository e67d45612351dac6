"""What the runtime costs: the wrapper over onnxruntime's own session, and a folder of images over its slowest stage.

    python benchmarks/runtime.py [--bundle DIR] [--seconds 60] [--json]

Without a bundle a network of 3x3 convolutions is drawn up (`large`: about as slow here as DeepLabV3+-ResNet18), and one
that takes next to nothing (`small`). Arms in turns within one process (see measure.py):
- wrapper: `session.run` of the very session that the Segmenter holds, the same again (the A/A), and the Segmenter; one
  image a call. `small` shows the cost of a call itself, `large` what share of a network's time that is.
- folder: decoding all images, computing their masks (images in memory), writing masks and overlays (masks in memory),
  each alone and with as many threads as `hardedge predict` gives it; and `predict`, which does all three at once. Its
  ratio is over the slower of decoding and computing. On a CPU the three share the cores: what decoding and writing take
  is taken from computing, which is the slowest here by far.
"""

import argparse
import dataclasses
import itertools
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from measure import Timing, machine, timings
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hardedge.console import spinner
from hardedge.contracts import (
    Bundle,
    ClassInfo,
    ModelFile,
    NetworkSpec,
    Normalisation,
    Profile,
    Reference,
    SegmentationScore,
    Task,
    seal,
)
from hardedge.data.decoding import read_image
from hardedge.data.streets.scene import draw_scene
from hardedge.deploy import Segmenter
from hardedge.deploy.machine import usable_cores
from hardedge.deploy.media.images import ImageInputs
from hardedge.deploy.prediction.predict import MOST_THREADS, Picture, PredictJob, image_writer, segment_all
from hardedge.deploy.prediction.threads import prefetch, write_behind
from hardedge.graphs.canonical import complexity_of, onnx_digest

CPU = torch.device("cpu")
SIZE = (256, 512)
IMAGES = 12
CALLS = 20  # of the small network in one timed run
NETWORKS = {"small": (1, 0, (32, 64)), "large": (64, 8, SIZE)}  # channels, layers, image size
CLASSES = tuple(ClassInfo(name=f"c{index}", color=(20 * index, 250 - 20 * index, 99)) for index in range(11))


@dataclass(frozen=True)
class Result:
    """One arm: what was compared, and its time over the baseline's."""

    part: str
    arm: str
    timing: Timing


def convolutions(channels: int, layers: int) -> onnx.ModelProto:
    """A network of pixels in and mask out: a convolution of stride 2, `layers` more, and a resize of its scores."""
    rng = np.random.default_rng(0)
    widths = [3, *([channels] * (layers + 1)), len(CLASSES)]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["map0"], perm=[0, 3, 1, 2]),
    ]
    weights = [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")]
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        weight = (rng.standard_normal((after, before, 3, 3)) / (3 * before**0.5)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"weight{number}"))
        stride = 2 if number == 0 else 1
        inputs, maps = [f"map{number}", f"weight{number}"], [f"map{number + 1}"]
        nodes.append(helper.make_node("Conv", inputs, maps, pads=[1, 1, 1, 1], strides=[stride, stride]))
    nodes += [
        helper.make_node("Resize", [f"map{len(widths) - 1}", "", "scales"], ["scores"], mode="linear"),
        helper.make_node("ArgMax", ["scores"], ["classes"], axis=1, keepdims=0),
        helper.make_node("Cast", ["classes"], ["mask"], to=TensorProto.UINT8),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", "H", "W", 3])
    mask = helper.make_tensor_value_info("mask", TensorProto.UINT8, ["B", "H", "W"])
    graph = helper.make_graph(nodes, "convolutions", [image], [mask], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def write_bundle(directory: Path, model: onnx.ModelProto, height_width: tuple[int, int]) -> Path:
    """A bundle that holds nothing but this network, for images of one size."""
    directory.mkdir()
    onnx.save(model, directory / "model.onnx")
    size = (1, *height_width)
    counted = complexity_of(model, size)
    seal(
        directory,
        Bundle(
            schema_id=Bundle.SCHEMA,
            hardedge="0",
            made_from=None,
            files={},
            task=Task(classes=CLASSES, ignore_index=255),
            network=NetworkSpec(name="convolutions", num_classes=len(CLASSES)),
            normalisation=Normalisation(),
            profiles=(Profile(min=size, opt=size, max=size),),
            models=(ModelFile(path="model.onnx", precision="fp32", onnx_digest=onnx_digest(model), census=counted),),
            control=None,
            reference=Reference(split="test", images=(), score=SegmentationScore(miou=0.0, per_class={})),
            golden=(),
            hardness="confidence",
            loss="none",
            branches=(),
            margin_tolerance=0.0,
            logit_difference=0.0,
            seconds={},
        ),
    )
    return directory


def write_images(folder: Path, size: tuple[int, int]) -> list[Path]:
    """Street scenes as JPEGs."""
    folder.mkdir()
    for number in range(IMAGES):
        image = Image.fromarray(draw_scene(0, number)[0]).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:02d}.jpg", quality=92)
    return sorted(folder.iterdir())


def wrapper(name: str, bundle: Path, size: tuple[int, int], calls: int, seconds: float) -> list[Result]:
    """The Segmenter over its own session; an image of this size a call."""
    image_BHWC = np.asarray(Image.fromarray(draw_scene(0, 0)[0]).resize((size[1], size[0])))[None]
    with Segmenter.load(bundle) as segmenter:
        session = segmenter._runner._session  # type: ignore[attr-defined]

        def raw() -> None:
            for _ in range(calls):
                session.run(["mask"], {"image": image_BHWC})

        def wrapped() -> None:
            for _ in range(calls):
                segmenter(image_BHWC)

        arms: dict[str, Callable[[], object]] = {"session": raw, "session again": raw, "Segmenter": wrapped}
        for run in arms.values():
            run()
        return [
            Result(f"wrapper, {name}", arm, dataclasses.replace(timing, ms=timing.ms / calls))
            for arm, timing in timings(arms, "session", seconds, CPU).items()
        ]


def folder(bundle: Path, paths: list[Path], out: Path, seconds: float) -> list[Result]:
    """predict over a folder, and each of its stages alone."""
    threads = min(usable_cores(), MOST_THREADS)
    images = [read_image(path) for path in paths]
    with Segmenter.load(bundle) as segmenter:
        assert segmenter.task is not None
        masks = [segmenter(image_HWC[None])[0] for image_HWC in images]
        results = [
            (Picture(path, image_HWC), mask_HW) for path, image_HWC, mask_HW in zip(paths, images, masks, strict=True)
        ]
        job = PredictJob(segmenter, segmenter.task, out / "alone", "overlay")
        for name in ("masks", "overlays"):
            (job.out / name).mkdir(parents=True)
        arms: dict[str, Callable[[], object]] = {
            "decoding alone": lambda: list(prefetch(paths, read_image, threads)),
            "computing alone": lambda: list(segmenter.stream(image_HWC[None] for image_HWC in images)),
            "writing alone": lambda: list(write_behind(results, image_writer(job), threads)),
            "predict": lambda: list(segment_all(job, ImageInputs(paths, []))),
        }
        for run in arms.values():
            run()
        first = timings(arms, "computing alone", seconds, CPU)
    slowest = max(("decoding alone", "computing alone"), key=lambda arm: first[arm].ms)
    assert slowest == "computing alone", "choose a slower network: here decoding is what takes the time"
    return [
        Result("folder", arm, dataclasses.replace(timing, ms=timing.ms / len(paths))) for arm, timing in first.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="The runtime over the raw session, and a folder over its stages.")
    parser.add_argument("--bundle", type=Path, help="a bundle of your own, in place of the large network")
    parser.add_argument("--seconds", type=float, default=60.0, help="time to measure in, for all parts together")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()

    results: list[Result] = []
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        bundles = {
            name: write_bundle(home / name, convolutions(channels, layers), size)
            for name, (channels, layers, size) in NETWORKS.items()
        }
        large = args.bundle or bundles["large"]
        with spinner(f"about {args.seconds:.0f} s"):
            results += wrapper("small", bundles["small"], NETWORKS["small"][2], CALLS, args.seconds / 6)
            results += wrapper("large", large, SIZE, 1, args.seconds / 4)
            results += folder(large, write_images(home / "images", SIZE), home / "out", args.seconds * 7 / 12)
    facts = {**machine(CPU), "threads": "onnxruntime's own: a thread a core"}
    if args.json:
        print(json.dumps({"machine": facts, "results": [dataclasses.asdict(result) for result in results]}, indent=1))
    else:
        print_table(results, facts)


def print_table(results: list[Result], facts: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    caption = ", ".join(f"{name} {value}" for name, value in facts.items())
    table = Table(title=f"milliseconds an image: {SIZE[1]}x{SIZE[0]}, small 64x32", caption=caption)
    for column in ("part", "arm", "ms", "over the baseline", "95 % interval", "blocks"):
        table.add_column(column, justify="left" if column in ("part", "arm") else "right")
    for result in results:
        timing = result.timing
        interval = f"{timing.low:.3f} .. {timing.high:.3f}"
        table.add_row(result.part, result.arm, f"{timing.ms:.3f}", f"{timing.ratio:.3f}", interval, str(timing.blocks))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
