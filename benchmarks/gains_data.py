"""The data that benchmarks/gains.py trains on: at another size, and with a video held out of training for choosing."""

from pathlib import Path

from PIL import Image

from hardedge.artefact import staged_directory
from hardedge.contracts import to_json
from hardedge.data import Dataset, open_dataset
from hardedge.data.palette import save_mask
from hardedge.data.sampling import nearest
from hardedge.errors import BadInput


def prepared(data: Path, out: Path, size: tuple[int, int] | None, hold_out: str = "") -> Dataset:
    """The data set at (height, width): images averaged by area, labels on the same grid; made once.

    With `hold_out` the training images whose names begin so are the validation and the test split, and no training
    image: nothing of the data's own validation and test splits is looked at. Raises BadInput where that leaves none.
    """
    if size is None and not hold_out:
        return open_dataset(data)
    if not out.is_dir():
        dataset = open_dataset(data)
        _write(dataset, splits(dataset, hold_out), size, out)
    return open_dataset(out)


def splits(dataset: Dataset, hold_out: str) -> dict[str, tuple[str, ...]]:
    """The data's own splits, or those for choosing."""
    if not hold_out:
        return {split: tuple(ids) for split, ids in dataset.splits.items()}
    held = tuple(id for id in dataset.splits["train"] if id.startswith(hold_out))
    rest = tuple(id for id in dataset.splits["train"] if id not in held)
    if not held or not rest:
        raise BadInput(f"{dataset.root}: {len(held)} training images begin with {hold_out}, {len(rest)} do not.")
    return {"train": rest, "val": held, "test": held}


def _write(dataset: Dataset, members: dict[str, tuple[str, ...]], size: tuple[int, int] | None, out: Path) -> None:
    with staged_directory(out, force=None) as fresh:
        for folder in ("images", "masks", "splits"):
            (fresh / folder).mkdir()
        (fresh / "classes.json").write_text(to_json(dataset.task))
        for split, ids in members.items():
            (fresh / "splits" / f"{split}.txt").write_text("\n".join(ids) + "\n")
        for id in dict.fromkeys(id for ids in members.values() for id in ids):
            image_HWC, mask_HW = dataset.pair(id)
            height, width = size or mask_HW.shape
            image = Image.fromarray(image_HWC).resize((width, height), Image.Resampling.BOX)
            image.save(fresh / "images" / f"{id}.png")
            save_mask(nearest(mask_HW, (height, width)), dataset.task, fresh / "masks" / f"{id}.png")
