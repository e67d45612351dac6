"""A data set that was never seen, from `check` to `predict`, while other work keeps every core busy.

    python benchmarks/new_data.py DIR [--budget 5m] [--images 60]

Draws 42 classes with a long tail, lines of one to three pixels among them, and images of sizes that differ; then runs
`hardedge check`, `hardedge run --budget` and `hardedge predict` on it beside a process a core that only computes. Says
what each took, and how long the training was for its budget.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES, IGNORED = 42, 255
SPLITS = {"train": 0.6, "val": 0.2, "test": 0.2}
THIN = 6  # classes of lines


def draw_dataset(root: Path, images: int, seed: int = 20261130) -> None:
    """Writes the data set: shapes of classes drawn by 1/rank, in noise of their colours."""
    rng = np.random.default_rng(seed)
    colors = rng.integers(20, 236, (CLASSES, 3))
    share = 1 / np.arange(1, CLASSES)
    share /= share.sum()
    for folder in ("images", "masks", "splits"):
        (root / folder).mkdir(parents=True)
    for index in range(images):
        height, width = (int(rng.integers(low, high)) for low, high in ((180, 420), (240, 640)))
        mask = Image.new("L", (width, height), 0)
        pen = ImageDraw.Draw(mask)
        for label in rng.choice(np.arange(1, CLASSES), 14, p=share):
            x, y, dx, dy = (int(rng.integers(-40, size)) for size in (width, height, width // 2, height // 2))
            if label % (CLASSES // THIN) == 0:
                pen.line([(x, y), (x + dx, y + dy)], int(label), int(rng.integers(1, 4)))
            else:
                pen.ellipse((x, y, x + max(dx, 8), y + max(dy, 8)), int(label))
        mask_HW = np.array(mask)
        noisy_HWC = colors[mask_HW] + rng.normal(0, 18, (height, width, 3))
        mask_HW[:3] = IGNORED
        Image.fromarray(noisy_HWC.clip(0, 255).astype(np.uint8)).save(root / f"images/{index:03d}.jpg", quality=92)
        Image.fromarray(mask_HW).save(root / f"masks/{index:03d}.png")
    first = 0
    for split, part in SPLITS.items():
        last = images if split == "test" else first + round(part * images)
        (root / f"splits/{split}.txt").write_text("".join(f"{index:03d}\n" for index in range(first, last)))
        first = last
    classes = [{"name": f"kind {index}", "color": colors[index].tolist()} for index in range(CLASSES)]
    (root / "classes.json").write_text(json.dumps({"classes": classes, "ignore_index": IGNORED}))


def compute_forever() -> None:
    """Keeps a core busy."""
    values = np.random.default_rng(0).random((400, 400))
    while True:
        values = np.tanh(values @ values)


def timed(*arguments: str | Path) -> tuple[float, subprocess.CompletedProcess[str]]:
    """How long a command of hardedge took, and what it said."""
    command = [sys.executable, "-m", "hardedge", *map(str, arguments)]
    print("$ hardedge", *arguments[:1], flush=True)
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return time.perf_counter() - began, done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--images", type=int, default=60)
    given = parser.parse_args()
    data, out = given.directory / "data", given.directory / "run"
    draw_dataset(data, given.images)
    others = [multiprocessing.Process(target=compute_forever, daemon=True) for _ in range(os.cpu_count() or 1)]
    for other in others:
        other.start()
    loaded = os.getloadavg()[0]
    stages = (
        ("check", data),
        ("run", "--data", data, "--out", out, "--budget", given.budget, "--target", "onnxruntime:cpu"),
        ("predict", out / "bundle", data / "images", "--out", given.directory / "masks"),
    )
    found = {}
    for arguments in stages:
        seconds, done = timed(*arguments)
        found[str(arguments[0])] = {"seconds": round(seconds), "rc": done.returncode}
        print(done.stdout, done.stderr, sep="\n", flush=True)
    for other in others:
        other.terminate()
    print(json.dumps(found, indent=1))
    if found["run"]["rc"]:
        sys.exit(f"run ended with {found['run']['rc']}, load average before {loaded:.1f}")
    trained = json.loads((out / "checkpoint/checkpoint.json").read_text())
    budget = float(given.budget[:-1]) * {"s": 1, "m": 60, "h": 3600}[given.budget[-1]]
    print(
        f"{date.today()}, load average before {loaded:.1f}: {trained['steps']} steps in {trained['seconds']:.0f} s of "
        f"training for a budget of {budget:.0f} s, validation mIoU {trained['validation']['miou']:.2f} %"
    )


if __name__ == "__main__":
    main()
