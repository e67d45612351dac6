"""Each peer's commands for peers.py: a plain script, Ultralytics' program in an environment of its own, hardedge.

Ultralytics is AGPL: only its program is started, nothing of it is imported, and it is no dependency.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from peer_hardedge import settings

from hardedge.data import Dataset

BENCHMARKS = Path(__file__).parent
COUNTED = r"^(\d+)/(\d+)$"
# its progress bars: `160: 2% ... 1/50`, `PixAcc: 8% ... 4/48`, and `image 3/48 path`
STEPS, EVALUATED, IMAGES = r"\d: \d+% \S+ (\d+)/(\d+)", r"PixAcc: \d+% \S+ (\d+)/(\d+)", r"^image (\d+)/(\d+)"


@dataclass(frozen=True)
class Loop:
    """A command, and the pattern of the counter that it prints in its loop: how many are done, and of how many."""

    command: tuple[str, ...]
    counter: str = COUNTED


@dataclass(frozen=True)
class Peer:
    """One peer: commands to a first mask in their order, loops to time, the file that it ships; where they run."""

    name: str
    first: dict[str, tuple[str, ...]]
    steps: Loop
    images: Loop
    evaluate: Loop
    artefact: Path
    environment: dict[str, str]


@dataclass(frozen=True)
class Task:
    """What all peers are given: data of one image size, a folder to write, and how long they train for a first mask."""

    data: Dataset
    out: Path
    size: tuple[int, int]
    batch: int
    epochs: int

    @property
    def steps(self) -> int:
        """The steps of an epoch: what is timed."""
        return len(self.data.splits["train"]) // self.batch

    @property
    def crop(self) -> int:
        """Square, as Ultralytics trains: the shorter side of the images."""
        return min(self.size)

    @property
    def image(self) -> Path:
        """The image of the first mask."""
        return self.data.image_path(self.data.splits["test"][0])


def on_the_cpu() -> dict[str, str]:
    return {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"}


def words(*values: object) -> tuple[str, ...]:
    return tuple(map(str, values))


def plain(task: Task) -> Peer:
    """The plain script; its loops run hardedge's trained weights, so that both have the same masks to make."""
    script = words(sys.executable, BENCHMARKS / "peer_plain.py")
    data, own, same = task.data.root, task.out / "plain.onnx", task.out / "plain_same.onnx"
    weights = task.out / "plain.pth"
    train = (*script, *words("train", data, weights, "--batch", task.batch, "--crop", task.crop, "--steps"))
    return Peer(
        name="plain script",
        first={
            "train": (*train, str(task.epochs * task.steps)),
            "export": (*script, *words("export", data, own, "--weights", weights, "--size", *task.size)),
            "first mask": (
                *script,
                *words("mask", data, task.out / "plain.png", "--model", own, "--image", task.image),
            ),
        },
        steps=Loop((*train, str(task.steps))),
        images=Loop((*script, *words("images", data, "--model", same))),
        evaluate=Loop((*script, *words("evaluate", data, "--model", same))),
        artefact=same,
        environment=on_the_cpu(),
    )


def same_weights(task: Task) -> tuple[str, ...]:
    """The command by which the plain script exports what hardedge trained."""
    weights, out = task.out / "checkpoint/weights.safetensors", task.out / "plain_same.onnx"
    script = words(sys.executable, BENCHMARKS / "peer_plain.py")
    return (*script, *words("export", task.data.root, out, "--weights", weights, "--size", *task.size))


def hardedge(task: Task) -> Peer:
    program = words(sys.executable, "-m", "hardedge")
    loops = words(sys.executable, BENCHMARKS / "peer_hardedge.py")
    data, checkpoint, bundle = task.data.root, task.out / "checkpoint", task.out / "bundle"
    fields = settings(task.epochs * task.steps, task.batch, task.crop).items()
    chosen = [word for field, value in fields for word in ("--set", f"{field}={value}")]
    size = "x".join(map(str, task.size))
    return Peer(
        name="hardedge",
        first={
            "train": (*program, *words("train", "streets_ce", "--data", data, "--out", checkpoint, *chosen)),
            "export": (*program, *words("export", checkpoint, "--data", data, "--out", bundle, "--size", size)),
            "first mask": (*program, *words("predict", bundle, task.image, "--out", task.out / "segmented")),
        },
        steps=Loop((*loops, *words("steps", data, "--steps", task.steps, "--batch", task.batch, "--crop", task.crop))),
        images=Loop((*loops, *words("images", data, "--bundle", bundle))),
        evaluate=Loop((*loops, *words("evaluate", data, "--bundle", bundle))),
        artefact=bundle / "model.onnx",
        environment=on_the_cpu(),
    )


def ultralytics(task: Task, environment: Path, network: str) -> Peer:
    """Ultralytics' program, from a description of its network without weights; writes its form of the data set.

    It trains on crops as the others do: no mosaic, scaling, shift or colour; an optimiser step for each batch.
    """
    folder = task.out / "ultralytics"
    described = write_described(task.data, folder)
    yolo = words(environment / "bin/yolo")
    name = Path(network).stem
    settled = words("device=cpu", f"project={folder}", "exist_ok=True", "workers=0", "plots=False")
    same = words("mosaic=0", "scale=0", "translate=0", "hsv_h=0", "hsv_s=0", "hsv_v=0", f"nbs={task.batch}")
    optimiser = words("optimizer=AdamW", "lr0=0.001", "weight_decay=0.01", "warmup_epochs=0", "pretrained=False")
    given = (*words(f"model={network}", f"data={described}", f"imgsz={task.crop}", f"batch={task.batch}"), *settled)
    train = (*yolo, "semantic", "train", *given, *same, *optimiser, "val=False")
    size = f"imgsz={','.join(map(str, task.size))}"
    model = folder / "train/weights/best.onnx"
    trained, shipped = (f"model={path}" for path in (model.with_suffix(".pt"), model))
    predict = (*yolo, "semantic", "predict", shipped, size, *settled)
    tested = (*yolo, "semantic", "val", shipped, f"data={described}", "split=test", size, *settled)
    return Peer(
        name=f"Ultralytics {name}",
        first={
            "train": (*train, "name=train", f"epochs={task.epochs}"),
            "export": (*yolo, "export", trained, "format=onnx", size, "device=cpu"),
            "first mask": (*predict, f"source={task.image}", "name=first"),
        },
        steps=Loop((*train, "name=steps", "epochs=1"), STEPS),
        images=Loop((*predict, f"source={folder / 'tested'}", "save=False", "name=images"), IMAGES),
        evaluate=Loop((*tested, "name=evaluate"), EVALUATED),
        artefact=model,
        environment=on_the_cpu() | {"YOLO_CONFIG_DIR": str(folder / "settings"), "YOLO_OFFLINE": "true"},
    )


def write_described(data: Dataset, folder: Path) -> Path:
    """The data set in Ultralytics' form: lists of image paths, and links to the images and masks."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings").mkdir(exist_ok=True)
    for kind in ("images", "masks"):
        (folder / kind).symlink_to(data.root / kind)
    (folder / "tested").mkdir()
    for id in data.splits["test"]:
        (folder / "tested" / f"{id}.png").symlink_to(data.image_path(id))
    for split, ids in data.splits.items():
        (folder / f"{split}.txt").write_text("".join(f"./images/{id}.png\n" for id in ids))
    names = [f"  {index}: {info.name}" for index, info in enumerate(data.task.classes)]
    lists = [f"{split}: {split}.txt" for split in data.splits]
    described = folder / "data.yaml"
    described.write_text("\n".join([f"path: {folder}", *lists, "masks_dir: masks", "names:", *names]) + "\n")
    return described
