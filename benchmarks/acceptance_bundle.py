"""Makes the bundle that `hardedge acceptance` runs: deploy/acceptance/trained-bundle, below 1 MB.

    python benchmarks/acceptance_bundle.py        # 5 minutes on two cores

Street scenes at half their size, a small network (acceptance_network.py), every precision, two profiles.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from hardedge.data.streets.write import write_streets

HERE = Path(__file__).parent
BUNDLE = HERE.parent / "deploy" / "acceptance" / "trained-bundle"
MOST_BYTES = 1_000_000
IMAGES = {"train": 100, "val": 8, "test": 8}
PROFILES = ("small=1x32x64:2x64x128:4x64x128", "large=1x64x128:1x96x192:2x128x256")


def halve(data: Path) -> None:
    """Images by the mean of four pixels, labels by one of them."""
    for path in sorted((data / "images").glob("*.png")):
        image_HWC = np.asarray(Image.open(path), np.uint16)
        quarters = [image_HWC[row::2, column::2] for row in (0, 1) for column in (0, 1)]
        Image.fromarray((np.sum(quarters, axis=0) // 4).astype(np.uint8)).save(path)
        label = Image.open(data / "masks" / path.name)
        label.resize((label.width // 2, label.height // 2), Image.Resampling.NEAREST).save(data / "masks" / path.name)


def hardedge(*arguments: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    subprocess.run([sys.executable, "-m", "hardedge", *arguments], check=True, env=environment)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, run, bundle = (str(folder / part) for part in ("data", "run", "bundle"))
        write_streets(Path(data), images=IMAGES)
        halve(Path(data))
        settings = ("network=acceptance_network:build", "steps=200", "crop=64,128", "batch=4", "evaluate_every=200")
        hardedge("train", "streets_ce", "--data", data, "--out", run, *(f"--set={each}" for each in settings))
        sizes = (f"--profile={profile}" for profile in PROFILES)
        files = ("--precision=fp16,bf16,int8,fp8", "--calibration-images=6", "--allow-code")
        hardedge("export", run, "--data", data, "--out", bundle, *sizes, *files)
        size = sum(path.stat().st_size for path in Path(bundle).rglob("*") if path.is_file())
        if size > MOST_BYTES:
            raise SystemExit(f"the bundle has {size} bytes, at most {MOST_BYTES} ship")
        shutil.rmtree(BUNDLE, ignore_errors=True)
        BUNDLE.parent.mkdir(exist_ok=True)
        shutil.copytree(bundle, BUNDLE)
    print(f"{BUNDLE}: {size} bytes")


if __name__ == "__main__":
    main()
