"""The one interface to bundles and engines: masks, sizes, types, trust, and memory over many runs."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from hardedge.data.decoding import read_mask
from hardedge.deploy import Segmenter
from hardedge.deploy.bundles.signing import sign, write_keys
from hardedge.deploy.engines.build import build
from hardedge.deploy.machine import resident_memory
from hardedge.deploy.prediction.threads import AHEAD, prefetch, prefetch_in_one_thread, write_behind
from hardedge.errors import BadInput

COLORS = np.array([(70, 130, 180), (128, 64, 128), (0, 0, 142)])


def images(seed: int, batch: int = 1, height: int = 64, width: int = 96) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def segmenter(shared_bundle: Path) -> Iterator[Segmenter]:
    with Segmenter.load(shared_bundle) as loaded:
        yield loaded


def test_a_bundle_and_its_engine_give_the_same_masks(
    shared_bundle: Path, shared_engine: Path, color_mask: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    with Segmenter.load(shared_bundle) as of_bundle, Segmenter.load(str(shared_engine)) as of_engine:
        for seed, size in enumerate([(1, 64, 96), (2, 40, 50), (2, 128, 192), (1, 64, 96)]):
            images_BHWC = images(seed, *size)
            masks_BHW = of_bundle(images_BHWC)
            assert (masks_BHW.dtype, masks_BHW.shape) == (np.uint8, size)
            assert np.array_equal(masks_BHW, of_engine(images_BHWC))
            assert np.array_equal(masks_BHW[0], color_mask(images_BHWC[0], COLORS))
        assert (of_bundle.target, of_engine.target) == ("onnxruntime:cpu", "onnxruntime:cpu")
        assert of_bundle.profiles == of_engine.profiles
        assert of_bundle.task is not None
        assert [entry.name for entry in of_bundle.task.classes] == ["sky", "road", "car"]


def test_a_stream_gives_what_calls_give_in_order(segmenter: Segmenter) -> None:
    batches = [images(seed, 1 + seed % 2, 32 + seed, 64) for seed in range(8)]
    for batch, masks_BHW in zip(batches, segmenter.stream(iter(batches)), strict=True):
        assert np.array_equal(masks_BHW, segmenter(batch))


def test_an_array_in_another_order_in_memory_is_taken(segmenter: Segmenter) -> None:
    turned_BHWC = images(0).transpose(0, 2, 1, 3)[:, ::-1]
    assert np.array_equal(segmenter(turned_BHWC), segmenter(np.ascontiguousarray(turned_BHWC)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (images(0).astype(np.float32), r"expected uint8 .*got float32 \[1, 64, 96, 3\]"),
        (images(0)[0, 0], r"expected uint8 .*got uint8 \[96, 3\]"),
        (images(0).transpose(0, 3, 1, 2), r"expected uint8 .*got uint8 \[1, 3, 64, 96\]"),
        (images(0, 3), r"images of 3x64x96 fit no profile: default 1x32x32 to 2x128x192"),
        (images(0, 1, 31), r"images of 1x31x96 fit no profile"),
        (images(0)[:0], r"images of 0x64x96 fit no profile"),
    ],
)
def test_what_does_not_fit_is_refused(segmenter: Segmenter, wrong: np.ndarray, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        segmenter(wrong)
    with pytest.raises(BadInput, match=said):
        list(segmenter.stream([wrong]))


def test_one_image_gives_a_segmentation_whatever_it_comes_as(
    segmenter: Segmenter, shared_engine: Path, tmp_path: Path
) -> None:
    image_HWC = images(3)[0]
    picture, file = PIL.Image.fromarray(image_HWC), tmp_path / "photo.png"
    picture.save(file)
    expected_HW = segmenter(image_HWC[None])[0]
    for image in (image_HWC, picture, file, str(file), picture.convert("RGBA")):
        found = segmenter(image)
        assert np.array_equal(found.mask, expected_HW)
    several = segmenter([image_HWC, str(file)])
    assert [np.array_equal(each.mask, expected_HW) for each in several] == [True, True]
    counts = np.bincount(expected_HW.ravel(), minlength=3) / expected_HW.size
    assert found.classes == {name: share for name, share in zip(("sky", "road", "car"), counts, strict=True) if share}
    assert list(found.classes.values()) == sorted(found.classes.values(), reverse=True)
    assert repr(found).startswith(f"Segmentation(64x96: {next(iter(found.classes))} ")
    assert np.array_equal(np.asarray(found.overlay(0.0)), image_HWC)
    assert np.array_equal(np.asarray(found.overlay(1.0)), COLORS[expected_HW])
    assert "<img" in found._repr_html_()
    saved = found.save(str(tmp_path / "mask.png"))
    assert np.array_equal(read_mask(saved), expected_HW)
    with pytest.raises(BadInput, match=r"a mask is a PNG\. Name it .*mask\.png"):
        found.save(tmp_path / "mask.jpg")
    with Segmenter.load(shared_engine) as engine:
        named = engine(image_HWC)
    assert np.array_equal(named.mask, expected_HW)
    assert set(named.classes) <= {"class 0", "class 1", "class 2"}
    assert repr(engine) == "Segmenter(onnxruntime:cpu: default 1x32x32 to 2x128x192 (batch x height x width))"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "expected an array, a PIL image or a file's path, got NoneType"),
        ("nowhere.jpg", "nowhere.jpg cannot be read as an image"),
        ("https://example.com/a.jpg", "is a URL"),
        (PIL.Image.new("I;16", (96, 64)), r"16 bits per channel \(mode I;16\), expected 8"),
    ],
)
def test_what_is_no_image_is_said(segmenter: Segmenter, wrong: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        segmenter(wrong)
    with pytest.raises(BadInput, match=said):
        segmenter([images(0)[0], wrong])


def test_a_closed_one_says_so(shared_bundle: Path) -> None:
    with Segmenter.load(shared_bundle) as loaded:
        loaded(images(0))
    with pytest.raises(BadInput, match=r"this Segmenter \(onnxruntime:cpu\) was closed"):
        loaded(images(0))
    with pytest.raises(BadInput, match="was closed"):
        list(loaded.stream([images(0)]))
    loaded.close()


def test_targets_that_do_not_fit_are_refused(shared_bundle: Path, shared_engine: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a bundle is run by onnxruntime or openvino, not by tensorrt"):
        Segmenter.load(shared_bundle, "tensorrt")
    with pytest.raises(BadInput, match="is for onnxruntime:cpu, not tensorrt"):
        Segmenter.load(shared_engine, "tensorrt")
    with pytest.raises(BadInput, match="no bundle.json"):
        Segmenter.load(tmp_path)


def test_only_what_is_trusted_is_loaded(own_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="comes with hardedge[sign]")
    public = write_keys(tmp_path / "key")
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    for directory in (own_bundle, tmp_path / "engine"):
        with pytest.raises(BadInput, match="is not signed"):
            Segmenter.load(directory, trust=public)
        sign(directory, tmp_path / "key")
        Segmenter.load(directory, trust=public).close()


def test_it_is_there_without_torch(shared_bundle: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np; from hardedge.deploy import Segmenter\n"
        "with Segmenter.load(sys.argv[1]) as segmenter: print(segmenter(np.zeros((1, 64, 96, 3), np.uint8)).shape)\n"
    )
    command = [sys.executable, "-c", program, str(shared_bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=850)
    assert done.stdout == "(1, 64, 96)\n", done.stderr


@pytest.mark.slow  # a minute or two
def test_memory_is_constant_over_twenty_thousand_inferences(shared_bundle: Path) -> None:
    """Two sizes in turn, as calls and streamed: after a tenth as warm-up the process grows by less than 4 MiB.

    A mask has 6 KiB: one in 27 kept of the 18,000 would be as much.
    """
    batches = [images(0), images(1, 1, 48, 64)]
    with Segmenter.load(shared_bundle) as segmenter:
        for batch in itertools.islice(itertools.cycle(batches), 2_000):
            segmenter(batch)
        before = resident_memory()
        for batch in itertools.islice(itertools.cycle(batches), 9_000):
            segmenter(batch)
        for _ in segmenter.stream(itertools.islice(itertools.cycle(batches), 9_000)):
            pass
        after = resident_memory()
    if before is None or after is None:
        pytest.skip("/proc does not tell")
    assert after - before < 4 << 20


def test_reading_stays_in_order_and_bounded() -> None:
    started: list[int] = []
    results = prefetch(range(100), lambda number: (started.append(number), number * number)[1], 2)
    assert next(results) == 0
    assert len(started) <= 2 * AHEAD + 2
    assert [next(results) for _ in range(4)] == [1, 4, 9, 16]
    results.close()  # type: ignore[attr-defined]
    assert len(started) <= 2 * AHEAD + 8


def test_what_reading_raises_is_raised_in_its_place() -> None:
    def read(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = prefetch(range(9), read, 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_an_iterator_is_pulled_by_one_thread_to_its_end_or_its_failure() -> None:
    def frames() -> Iterator[int]:
        yield from range(20)
        raise OSError("broken")

    assert list(prefetch_in_one_thread(iter(range(20)))) == list(range(20))
    found: list[int] = []
    with pytest.raises(OSError, match="broken"):
        found.extend(prefetch_in_one_thread(frames()))
    assert found == list(range(20))


def test_what_was_computed_is_written_whatever_ends_it() -> None:
    def results() -> Iterator[int]:
        yield from range(30)
        raise RuntimeError("the network")

    kept: list[int] = []
    with pytest.raises(RuntimeError, match="the network"):
        list(write_behind(results(), kept.append, 2))
    assert sorted(kept) == list(range(30))


def test_a_failure_of_writing_ends_the_rest() -> None:
    asked: list[int] = []

    def results() -> Iterator[int]:
        for number in range(1000):
            asked.append(number)
            yield number

    def write(number: int) -> None:
        if number == 5:
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        list(write_behind(results(), write, 2))
    assert len(asked) <= 5 + 2 * AHEAD + 2
