"""What the time of each benchmark's subject is spent on, by profilers: torch's, onnxruntime's and Python's own.

    python benchmarks/limits.py [--threads 2] [--json]

Each subject runs once to warm up and once to be profiled; the three largest shares of its own time are told.
"""

import argparse
import cProfile
import json
import os
import pstats
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import confusion_metric
import end_to_end
import hardness_step
import loader
import losses
import numpy as np
import onnx
import onnxruntime
import runtime
import torch
from measure import machine
from PIL import Image
from torch.profiler import ProfilerActivity, profile

from hardedge.console import spinner
from hardedge.contracts import NetworkSpec, Normalisation, Profile
from hardedge.data.opening import open_dataset
from hardedge.data.streets.scene import draw_scene
from hardedge.deploy import Segmenter
from hardedge.deploy.onnxruntime.channels_last import with_channels_last_answer
from hardedge.export.graph.pixels_to_mask import PixelsToMask, onnx_from_network
from hardedge.models import build_network
from hardedge.train.edge_network import EdgeNetwork
from hardedge.train.recipes import find_recipe

CPU = torch.device("cpu")
LARGEST = 3
_METHOD = re.compile(r"method '(\w+)' of .*")  # as cProfile names those of types in C


def largest(times: Mapping[str, float]) -> str:
    """The largest shares in words."""
    total = sum(times.values())
    ranked = sorted(times.items(), key=lambda entry: entry[1], reverse=True)
    return ", ".join(f"{name} {100 * spent / total:.0f} %" for name, spent in ranked[:LARGEST])


def of_torch(run: Callable[[], object]) -> str:
    run()
    with profile(activities=[ProfilerActivity.CPU]) as record:
        run()
    return largest({event.key.removeprefix("aten::"): event.self_cpu_time_total for event in record.key_averages()})


def of_python(run: Callable[[], object]) -> str:
    run()
    profiler = cProfile.Profile()
    profiler.runcall(run)
    times: dict[str, float] = defaultdict(float)
    for (_, _, name), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]  # typeshed leaves it out
        times[_METHOD.sub(r"\1", name.strip("<>").removeprefix("built-in method "))] += own
    return largest(times)


def of_onnxruntime(model: onnx.ModelProto, image_BHWC: np.ndarray) -> str:
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, f"{folder}/profile"
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for _ in range(3):
            session.run(["mask"], {"image": image_BHWC})
        events = json.loads(Path(session.end_profiling()).read_text())
    times: dict[str, float] = defaultdict(float)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"]] += event["dur"]
    return largest(times)


def of_losses() -> Iterable[tuple[str, str]]:
    given, edges = losses.scene((2, 256, 512), CPU), EdgeNetwork(losses.NUM_CLASSES).eval().requires_grad_(False)
    for spec in losses.TARGETS:
        yield f"loss {spec}", of_torch(losses.step(losses.ours(spec, edges), given))


def of_steps() -> Iterable[tuple[str, str]]:
    batch = torch.randn(2, 3, 256, 256), torch.randint(0, hardness_step.NUM_CLASSES, (2, 256, 256))
    for network in hardness_step.NETWORKS:
        yield f"step {network}", of_torch(hardness_step.make_arms(network, batch)["hardness, light"].step)


def of_networks() -> Iterable[tuple[str, str]]:
    image_BHWC = np.ascontiguousarray(np.resize(draw_scene(0, 0)[0], (1, 512, 1024, 3)))
    profile = Profile(min=(1, 64, 64), opt=(1, 512, 1024), max=(4, 512, 1024))
    for name in end_to_end.NETWORKS:
        network = build_network(NetworkSpec(name=name, num_classes=19)).eval()
        model = onnx_from_network(PixelsToMask(network, Normalisation()).eval(), profile, ("mask",), 20)
        yield f"end to end {name}", of_onnxruntime(with_channels_last_answer(model), image_BHWC)


def of_loader(folder: Path) -> str:
    loader.write_drawn(folder)
    recipe = replace(find_recipe("camvid", {}), crop=(769, 769), scale=(0.5, 2.0), batch=4)
    return of_python(loader.ours(open_dataset(folder), recipe, 1))


def of_call(folder: Path) -> str:
    channels, layers, (height, width) = runtime.NETWORKS["small"]
    bundle = runtime.write_bundle(folder / "small", runtime.convolutions(channels, layers), (height, width))
    image_BHWC = np.asarray(Image.fromarray(draw_scene(0, 0)[0]).resize((width, height)))[None]
    with Segmenter.load(bundle) as segmenter:
        return of_python(lambda: [segmenter(image_BHWC) for _ in range(200)])


def limits() -> dict[str, str]:
    found: dict[str, str] = {}
    for subjects in (of_losses, of_steps, of_networks):
        with spinner(subjects.__name__.removeprefix("of_")):
            found |= dict(subjects())
    with spinner("data and calls"), tempfile.TemporaryDirectory() as folder:
        counting = confusion_metric.make_arms(*confusion_metric.CASES[0])[confusion_metric.BASE]
        found["confusion counts"] = of_python(counting)
        found["loader"] = of_loader(Path(folder) / "drawn")
        found["wrapper"] = of_call(Path(folder))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="What the time of each benchmark's subject is spent on.")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler tells of itself on stderr
    torch.set_num_threads(args.threads)
    found = limits()
    if args.json:
        print(json.dumps({"machine": machine(CPU), "limits": found}, indent=1))
    else:
        print("\n".join(f"{name}: {text}" for name, text in found.items()))


if __name__ == "__main__":
    main()
