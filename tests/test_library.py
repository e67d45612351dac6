"""The package as a library: what is at its doors, and paths as text."""

import dataclasses
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hardedge
from hardedge.contracts import Bundle, Engine, NetworkSpec, Report, load
from hardedge.contracts.files import load_artefact
from hardedge.data import open_dataset
from hardedge.data.checking.check import check_dataset
from hardedge.data.dataset import Dataset
from hardedge.data.importing.stage import import_data
from hardedge.data.prepare import prepare
from hardedge.data.scribbles import write_scribbles
from hardedge.data.sharding import write_shards
from hardedge.data.streets.write import write_streets
from hardedge.deploy import Segmenter, build, deploy, predict, verify
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.bundles.signing import read_trust, sign, write_keys
from hardedge.deploy.latency.bench import bench
from hardedge.deploy.prediction.live import predict_camera
from hardedge.deploy.prediction.on_ray import predict_on_ray
from hardedge.deploy.report.two_reports import compare_reports
from hardedge.deploy.triton.repository import write_model
from hardedge.errors import BadInput
from hardedge.export import export
from hardedge.export.identity.certificate import certify
from hardedge.export.keep_outputs import keep_outputs
from hardedge.export.tune.stage import tune
from hardedge.paths import local_path
from hardedge.pipeline import run
from hardedge.train import train
from hardedge.train.edge_network import train_edge_network
from hardedge.train.hard.ranking import rank_hard
from hardedge.train.stripping.stage import strip
from hardedge.train.studies.search_loss import search_loss
from hardedge.train.studies.sweep import sweep

PUBLIC = (
    *(run, train, export, deploy, build, verify, predict, predict_camera, predict_on_ray, bench, compare_reports),
    *(open_dataset, check_dataset, prepare, import_data, write_streets, write_scribbles, write_shards),
    *(load, load_artefact, load_bundle, Segmenter.load, sign, write_keys, read_trust, write_model),
    *(certify, keep_outputs, tune, strip, sweep, search_loss, train_edge_network, rank_hard),
)


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__qualname__)
def test_a_path_is_text_or_a_path_object(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    assert not [each.name for each in parameters if re.search(r"\bPath\b", str(each.annotation))]
    assert [each.name for each in parameters if _takes_path(each)]


def _takes_path(parameter: inspect.Parameter) -> bool:
    return any(word in str(parameter.annotation) for word in ("StrPath", "PathLike"))


@pytest.mark.parametrize("function", [function for function in PUBLIC if function is not write_keys])
def test_text_that_is_a_url_is_refused(function: Callable[..., Any]) -> None:
    """Which shows, of each function, that it turns its first path into one before anything else."""
    parameters = inspect.signature(function).parameters.values()
    needed = {each.name: "nowhere" if _takes_path(each) else None for each in parameters if each.default is each.empty}
    first = next(each.name for each in parameters if _takes_path(each))
    with pytest.raises(BadInput, match=r"https://example\.com/data is a URL"):
        function(**needed | {first: "https://example.com/data"})


def test_a_url_that_pathlib_has_read_is_one_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="is a URL"):
        local_path(Path("s3://bucket/key"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd:").mkdir()
    (tmp_path / "odd:/name").touch()
    assert local_path("odd:/name") == Path("odd:/name")


def test_any_artefact_is_loaded_by_its_folder(finished: Path) -> None:
    for folder, kind in (("bundle", Bundle), ("report", Report), ("engines/onnxruntime-cpu", Engine)):
        found = hardedge.load(str(finished / "run" / folder))
        assert found == load(kind, finished / "run" / folder)
        assert f"<caption>{kind.__name__}</caption>" in found._repr_html_()
    with pytest.raises(BadInput, match=r"Give one of those in it: .*bundle"):
        hardedge.load(finished / "run")
    with pytest.raises(BadInput, match="not an artefact's folder"):
        hardedge.load(finished / "run/bundle/golden")


def test_a_data_set_and_a_segmenter_open_by_text(finished: Path, tiny_dataset: Path) -> None:
    assert hardedge.open_dataset(str(tiny_dataset)).splits == open_dataset(tiny_dataset).splits
    with hardedge.Segmenter.load(str(finished / "run/bundle")) as segmenter:
        assert segmenter.task is not None


@pytest.mark.parametrize(
    ("line", "imported"),
    [
        ("import hardedge", ""),
        ("from hardedge import Segmenter, load, open_dataset, Report, run", "numpy onnx onnxruntime pydantic"),
        ("from hardedge.deploy import deploy, verify, predict", "numpy onnx onnxruntime pydantic"),
    ],
)
def test_importing_it_imports_no_more_than_it_needs(line: str, imported: str) -> None:
    heavy = "numpy torch torchvision onnx onnxruntime PIL scipy pydantic polygraphy rich timm tensorrt tensorrt_rtx"
    program = f"import sys\n{line}\nprint(*sorted(set({heavy!r}.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= set(imported.split())


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'hardedge' has no attribute 'segment'"):
        _ = hardedge.segment  # type: ignore[attr-defined]
    assert isinstance(hardedge.train, type(sys))


def test_a_data_set_is_a_sequence_of_pairs(tiny_dataset: Path) -> None:
    dataset = open_dataset(tiny_dataset)
    ids = [id for split in dataset.splits.values() for id in split]
    assert len(dataset) == len(ids) == len(list(dataset))
    for key, id in ((0, ids[0]), (-1, ids[-1]), (ids[2], ids[2])):
        image_HWC, mask_HW = dataset[key]
        assert np.array_equal(image_HWC, dataset.image(id))
        assert np.array_equal(mask_HW, dataset.mask(id))
    assert len(dataset.split("val")) == len(dataset.splits["val"])
    assert np.array_equal(dataset.split("val")[0][1], dataset.mask(dataset.splits["val"][0]))
    assert len(dataset.split("train")[1:]) == len(dataset.splits["train"]) - 1
    with pytest.raises(IndexError, match=f"image {len(ids)} of {len(ids)}"):
        dataset[len(ids)]
    with pytest.raises(KeyError, match="has no image elsewhere here"):
        dataset["elsewhere"]
    with pytest.raises(BadInput, match="has no split validation. It has: train, val, test"):
        dataset.split("validation")
    assert repr(dataset) == f"FolderDataset({dataset.name}: {', '.join(_counts(dataset))}; 3 classes)"
    assert all(word in dataset._repr_html_() for word in ("sky, road, car", *_counts(dataset)))


def _counts(dataset: Dataset) -> list[str]:
    return [f"{name} {len(ids)}" for name, ids in dataset.splits.items()]


def test_a_notebook_shows_an_artefact_as_a_table_of_text() -> None:
    hostile = Bundle.__new__(Bundle)
    fields: dict[str, Any] = {field.name: None for field in dataclasses.fields(Bundle)}
    fields |= {
        "loss": "<script>",
        "golden": tuple(map(str, range(10))),
        "network": NetworkSpec(name="n", num_classes=2),
    }
    for name, value in fields.items():
        object.__setattr__(hostile, name, value)
    shown = hostile._repr_html_()
    assert "<caption>Bundle</caption>" in shown
    assert "&lt;script&gt;" in shown
    assert "0, 1, 2, 3, 4, 5, 6, 7 and 2 more" in shown
