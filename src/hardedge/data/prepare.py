"""A data set decoded once: for training where reading compressed images is what takes the time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copytree

from hardedge.artefact import require_free, staged_directory
from hardedge.console import progress_bar
from hardedge.contracts import to_json
from hardedge.data.dataset import Dataset
from hardedge.data.opening import open_dataset
from hardedge.paths import StrPath, local_paths


def prepare(data: StrPath, out: StrPath) -> int:
    """Writes the data set in the native form with uncompressed images (BMP), all or nothing; returns its bytes.

    Labels become class indices in PNGs, so a public data set needs no reader of its own afterwards; scribbles are
    copied. Raises BadInput for data that cannot be used, a file that cannot be read, and `out` that exists.
    """
    data, out = local_paths((data, out))
    require_free(out, None, [data])
    dataset = open_dataset(data)
    ids = list(dict.fromkeys(id for ids in dataset.splits.values() for id in ids))
    with staged_directory(out, force=None) as fresh:
        for folder in ("images", "masks", "splits"):
            (fresh / folder).mkdir()
        (fresh / "classes.json").write_text(to_json(dataset.task), encoding="utf-8")
        for split, members in dataset.splits.items():
            (fresh / "splits" / f"{split}.txt").write_text("".join(f"{id}\n" for id in members), encoding="utf-8")
        if (data / "scribbles").is_dir():
            copytree(data / "scribbles", fresh / "scribbles")
        with ThreadPoolExecutor() as pool:
            written = pool.map(lambda id: _write_pair(dataset, id, fresh), ids)
            return sum(progress_bar(written, "decoding", total=len(ids)))


def _write_pair(dataset: Dataset, id: str, folder: Path) -> int:
    from PIL import Image

    image_HWC, mask_HW = dataset.pair(id)
    image, mask = folder / "images" / f"{id}.bmp", folder / "masks" / f"{id}.png"
    Image.fromarray(image_HWC).save(image)
    Image.fromarray(mask_HW).save(mask)
    return image.stat().st_size + mask.stat().st_size
