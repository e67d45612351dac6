"""predict on a real Ray cluster of this machine: what it makes, what a dead worker leaves, what is refused."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardedge.contracts import Bundle, load, to_json
from hardedge.deploy.bundles.signing import read_trust, sign, write_keys
from hardedge.deploy.prediction.on_ray import RECORD, Predicted, list_images, predict_on_ray
from hardedge.deploy.prediction.predict import predict
from hardedge.deploy.prediction.ray_cluster import LOOPBACK, QUIET
from hardedge.deploy.prediction.ray_worker import Labeller, Work
from hardedge.errors import BadInput, Unavailable
from hardedge.ownership import declare_contents

Program = Callable[..., subprocess.CompletedProcess[str]]
HEAD = """
import sys, ray
for _ in range(5):  # Ray gives its own processes 15 seconds to start, which a busy machine may need twice
    try:
        ray.init(
            num_cpus=2, include_dashboard=False, object_store_memory=256 << 20, log_to_driver=False,
        )
        break
    except Exception as error:
        print(error, file=sys.stderr)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster of two CPUs on the loopback."""

    address: str
    pid: int

    def workers(self) -> list[int]:
        """The processes that label images, of this cluster alone."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                name = (process / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if b"Labeller" in name and b"ray::" in name and self.pid in _ancestors(int(process.name)):
                found.append(int(process.name))
        return found


def _ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        try:
            pid = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
        found.append(pid)
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    settings = QUIET | LOOPBACK | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(
            [sys.executable, "-c", HEAD],
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as head,
    ):
        for name, value in settings.items():  # for the program that connects to it
            patch.setenv(name, value)
        assert head.stdout is not None
        address = head.stdout.readline().strip()
        assert address, "Ray did not start"
        yield Cluster(address, head.pid)


def write_images(folder: Path, count: int, size: tuple[int, int] = (64, 96)) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"photo{number:04d}.png")
    return folder


def contents(masks: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in masks.iterdir()}


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_worker_killed_in_mid_run_costs_nothing(
    cluster: Cluster, start: Callable[..., subprocess.Popen[str]], shared_bundle: Path, tmp_path: Path
) -> None:
    images, out = write_images(tmp_path / "images", 600), tmp_path / "out"
    running = start("predict", shared_bundle, images, "--ray", cluster.address, "--out", out)
    until(lambda: (out / "masks").is_dir() and any((out / "masks").glob("*.png")))
    first = cluster.workers()
    os.kill(first[0], signal.SIGKILL)
    before = {path.name: path.stat() for path in (out / "masks").glob("*.png")}
    assert 0 < len(before) < 600
    said = running.communicate(timeout=300)[1]
    assert running.returncode == 0, said
    assert said.splitlines()[-1].startswith("600 images in ")
    predict(shared_bundle, [images], tmp_path / "local")
    assert contents(out / "masks") == contents(tmp_path / "local/masks")
    for name, stat in before.items():  # none was written again
        after = (out / "masks" / name).stat()
        assert (after.st_ino, after.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    assert {path.name for path in out.iterdir()} == {"masks", RECORD}


@pytest.mark.slow
def test_a_second_run_makes_what_is_missing_and_lists_what_is_unreadable(
    cluster: Cluster, hardedge: Program, shared_bundle: Path, tmp_path: Path
) -> None:
    images, out = write_images(tmp_path / "images", 20), tmp_path / "out"
    command = ("predict", shared_bundle, images, "--ray", cluster.address, "--out", out, "--json")
    done = hardedge(*command)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"masks": str(out / "masks"), "made": 20, "there": 0, "unreadable": 0}
    kept = (out / "masks/photo0000.png").stat().st_mtime_ns
    (out / "masks/photo0003.png").unlink()
    whole = (images / "photo0001.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    (images / "words.jpg").write_text("no image")
    Image.new("RGB", (5000, 40)).save(images / "wide.png")
    Image.fromarray(np.zeros((64, 96), np.uint16)).save(images / "deep.png")
    done = hardedge(*command)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert f"all 4 are in {out / 'unreadable.txt'}, the other 20 in {out}." in error
    faults = (out / "unreadable.txt").read_text().splitlines()
    assert [fault.partition(" ")[0].rstrip(":") for fault in faults] == [
        str(images / name) for name in ("cut.png", "deep.png", "wide.png", "words.jpg")
    ]
    for fault, words in zip(
        faults, ("cannot be read as an image", "bits per channel", "profiles hold", "not an image"), strict=True
    ):
        assert words in fault
    assert (out / "masks/photo0000.png").stat().st_mtime_ns == kept
    assert len(contents(out / "masks")) == 20
    for name in ("cut.png", "words.jpg", "wide.png", "deep.png"):
        (images / name).unlink()
    assert hardedge(*command).returncode == 0  # nothing is left to do: Ray is not asked
    assert not (out / "unreadable.txt").exists()


@pytest.mark.slow
def test_a_cluster_without_a_gpu_is_told(
    cluster: Cluster, hardedge: Program, shared_bundle: Path, tmp_path: Path
) -> None:
    images = write_images(tmp_path / "images", 1)
    options = ("--ray", cluster.address, "--target", "onnxruntime:cuda", "--out", tmp_path / "out")
    done = hardedge("predict", shared_bundle, images, *options)
    assert done.returncode == 3
    assert f"Ray's cluster {cluster.address} has no GPU. Give a --target that runs there." in done.stderr


@pytest.mark.slow
def test_local_is_a_cluster_that_ends_with_the_run(hardedge: Program, shared_bundle: Path, tmp_path: Path) -> None:
    images, out = write_images(tmp_path / "images", 5), tmp_path / "out"
    for _ in range(5):  # as above
        done = hardedge("predict", shared_bundle, images, "--ray", "local", "--out", out)
        if "Try again when the machine is less busy" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out / 'masks'}: 5 masks made, 0 were there\n"
    predict(shared_bundle, [images], tmp_path / "local")
    assert contents(out / "masks") == contents(tmp_path / "local/masks")


def test_faulty_inputs_are_listed_before_any_work(shared_bundle: Path, tmp_path: Path) -> None:
    images, more = write_images(tmp_path / "images", 2), write_images(tmp_path / "more", 1)
    (tmp_path / "empty").mkdir()
    (more / "drive.mp4").write_bytes(b"")
    given = [images, more, more / "drive.mp4", tmp_path / "empty", tmp_path / "nowhere"]
    with pytest.raises(BadInput) as caught:
        predict_on_ray(shared_bundle, given, tmp_path / "out", "local")
    assert str(caught.value).splitlines()[1:-1] == [
        f"  {images / 'photo0000.png'}, {more / 'photo0000.png'}: both named photo0000",
        f"  {more / 'drive.mp4'}: a video, which is segmented without --ray",
        f"  {tmp_path / 'empty'}: no .jpg or .png file in it",
        f"  {tmp_path / 'nowhere'}: does not exist",
    ]
    assert not (tmp_path / "out").exists()


def test_images_are_listed_once_and_hidden_ones_not(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 3)
    (images / ".photo0000.png").write_bytes(b"")
    (images / "notes.txt").write_text("")
    found = list_images([images, images / "photo0001.png"])
    assert sorted(found) == [str(images / f"photo000{number}.png") for number in range(3)]


def test_a_link_has_the_name_that_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the local predict has it: what it leads to may be named by a digest, in a store of versions."""
    images = write_images(tmp_path / "images", 1)
    (tmp_path / "links").mkdir()
    (tmp_path / "links/front.png").symlink_to(images / "photo0000.png")
    monkeypatch.chdir(tmp_path)
    for given in ([Path("links/front.png")], [Path("links")], [Path("links"), tmp_path / "images/../links/front.png"]):
        assert list_images(given) == [str(tmp_path / "links/front.png")]


def test_masks_of_another_bundle_are_not_mixed(
    shared_bundle: Path, shared_engine: Path, own_bundle: Path, tmp_path: Path
) -> None:
    images, out = write_images(tmp_path / "images", 1), tmp_path / "out"
    nowhere = "127.0.0.1:1"
    with pytest.raises(Unavailable, match=rf"no Ray cluster at {nowhere} .*ray start --head"):
        predict_on_ray(shared_bundle, [images], out, nowhere)
    assert not out.exists()
    (out / "masks").mkdir(parents=True)
    made_by = Predicted(bundle=load(Bundle, shared_bundle).digest, engine=None, target="onnxruntime:cpu")
    (out / RECORD).write_text(to_json(made_by))
    declare_contents(out, files=(RECORD,), patterns=("masks/*.png",))
    with pytest.raises(BadInput, match="has masks of another bundle, engine or target"):
        predict_on_ray(shared_bundle, [images], out, nowhere, engine=shared_engine)
    (out / "masks/photo0000.png").write_bytes(b"made")
    made = predict_on_ray(shared_bundle, [images], out, nowhere)
    assert (made.made, made.there) == (0, 1)
    with pytest.raises(Unavailable, match="no Ray cluster"):
        predict_on_ray(shared_bundle, [images], out, nowhere, engine=shared_engine, force=True)
    assert (out / "masks/photo0000.png").read_bytes() == b"made"  # replaced when there is something to replace it
    with pytest.raises(BadInput, match="would replace what is read"):
        predict_on_ray(shared_bundle, [images], images, nowhere, force=True)
    with pytest.raises(BadInput, match="exists"):
        predict_on_ray(shared_bundle, [images], own_bundle, nowhere)


def test_an_engine_of_another_bundle_is_refused_before_any_work(
    shared_engine: Path, own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    resealed(own_bundle, loss="other")
    images = write_images(tmp_path / "images", 1)
    with pytest.raises(BadInput, match="was built from another bundle"):
        predict_on_ray(own_bundle, [images], tmp_path / "out", "127.0.0.1:1", engine=shared_engine)
    assert not (tmp_path / "out").exists()


def test_a_worker_opens_nothing_that_is_not_trusted(own_bundle: Path, tmp_path: Path) -> None:
    """It reads the bundle long after the run began, on another machine: what was signed then may not be there now."""
    pytest.importorskip("cryptography", reason="comes with hardedge[sign]")
    trust = read_trust(write_keys(tmp_path / "key"))
    work = Work(own_bundle, None, None, trust, tmp_path / "masks")
    with pytest.raises(BadInput, match=r"bundle\.json\.sig"):
        Labeller(work)
    sign(own_bundle, tmp_path / "key")
    Labeller(work).segmenter.close()


def test_without_the_extra_it_says_how_to_add_it(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(Unavailable, match=r"pip install 'hardedge\[ray\]'"):
        predict_on_ray(shared_bundle, [write_images(tmp_path / "images", 1)], tmp_path / "out", "local")
    assert not (tmp_path / "out").exists()
