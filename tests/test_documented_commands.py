"""The documents' commands are run: each page's lines in their order, in a folder with what its reader has."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from hardedge.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": (ROOT / "README.md").read_text()} | {
    path.name: path.read_text()
    for path in sorted((ROOT / "docs").glob("*.md"))
    if path.name not in ("log.md", "cli.md")
}
LINE = re.compile(r"^ {4,}(hardedge .+?)(?:\s+#.*)?$", re.MULTILINE)
YAML = re.compile(r"```yaml\n.*?```", re.DOTALL)  # tests/deploy/test_ci.py has those
COMMANDS = {page: LINE.findall(YAML.sub("", text)) for page, text in PAGES.items()}

# what makes a command short enough to be run; a later option or setting goes before an earlier one
SHORT = {
    "bench": "--time 2s",
    "deploy": "--latency 0s",
    "edges": "--steps 4",
    "run": "--latency 0s --set batch=4 --set crop=64,96 --target onnxruntime:cpu",
    "search-loss": "--rounds 1 --samples 2 --steps 2 --seeds 1 --set batch=4 --set crop=64,96",
    "sweep": "--seeds 1 --set steps=2 --set batch=4 --set crop=64,96 --set evaluate_every=2",
    "train": "--set steps=4 --set batch=4 --set crop=64,96 --set evaluate_every=4 --set pretrained=false",
    "verify": "--latency 0s",
}
# part of a command, and why it is not run
NOT_RUN = {
    "--metric boundary": "tests/train/test_search_loss.py searches with it",
    "--track wandb --track mlflow": "tests/train/test_tracking.py runs both, offline",
    "--points 20": "tests/train/test_sweep.py runs samplers",
    "hardedge run --out runs/demo": "make demo: five minutes",
    "check gardens": "tests/test_adding.py runs it",
    "engines/tensorrt-": "needs an engine of TensorRT, which is not here",
    "mit_b0.safetensors": "tests/models/test_pretrained.py makes such a file and reads it",
    "--size 512x1024": "tests/export/test_form.py exports for several sizes, on images of these sizes",
    "--profile small=": "tests/export/test_form.py exports named profiles, on images of their sizes",
    "--camera ": "there is no camera; tests/deploy/test_camera.py has streams",
    "--ray ": "tests/deploy/test_predict_ray.py runs it, on a cluster of its own",
    "--calibration-tile 512x512": "tests/export/test_precision_calibration.py has images larger than a tile",
}
# part of a command, its exit code here, and what it says then
REFUSED = {
    "--target tensorrt ": (3, "tensorrt is not installed"),
    "--gates gates.toml": (1, "could not decide"),
}
# what a page takes for granted
EXPORT = "hardedge export runs/a --data my_data --force"
DEPLOY = "hardedge deploy runs/a_bundle --data my_data --target onnxruntime:cpu"
BEFORE = {
    "deploy.md": [f"{EXPORT} --out bundle --precision fp16,int8"],
    "miou-dropped.md": [f"{EXPORT} --out runs/a_bundle --precision fp16"],
    "reading-a-report.md": [f"{DEPLOY} --out runs/ce", f"{DEPLOY} --out runs/hardness"],
    "triton.md": [f"{EXPORT} --out runs/a_bundle --precision fp16"],
}
# pages without a training, an export or engines of TensorRT-RTX
QUICK = ("data.md", "import.md")


def reason_not_to_run(command: str) -> str | None:
    return next((reason for part, reason in NOT_RUN.items() if part in command), None)


def test_every_reason_is_for_a_command_that_is_there() -> None:
    commands = [command for lines in COMMANDS.values() for command in lines]
    assert len(commands) >= 70
    for part in (*NOT_RUN, *REFUSED):
        assert [command for command in commands if part in f"{command} "], part
    run = [command for command in commands if not reason_not_to_run(command)]
    assert {shlex.split(command)[1] for command in run} | {"recipes", "scenes"} >= set(cli.commands) - {
        "report",
        "bench",
    }


@pytest.fixture
def reader(finished: Path, tmp_path: Path) -> Path:
    """The folder of a reader who has trained, exported and deployed, and has files of others."""
    shutil.copytree(finished / "data", tmp_path / "my_data")
    for name, source in {
        **dict.fromkeys(("runs/a", "runs/b", "runs/hl"), "checkpoint"),
        **dict.fromkeys(("runs/a_bundle", "runs/b_bundle", "bundle"), "bundle"),
        "engines": "engines",
    }.items():
        shutil.copytree(finished / "run" / source, tmp_path / name)
    (tmp_path / "cityscapes").symlink_to("my_data")
    photographs = sorted((tmp_path / "my_data/images").iterdir())
    for name in ("folder", "new_photographs"):
        (tmp_path / name).mkdir()
        shutil.copy(photographs[0], tmp_path / name / f"{name}.png")
    Image.open(photographs[1]).save(tmp_path / "photo.jpg")
    write_video(tmp_path / "drive.mp4")
    write_onnx(tmp_path / "trained.onnx", logits=3, hardness=1)
    write_onnx(tmp_path / "theirs.onnx", logits=3)
    (tmp_path / "gates.toml").write_text(re.findall(r"```toml\n(.*?)```", PAGES["ci.md"], re.DOTALL)[0])
    write_code(tmp_path)
    write_labels(tmp_path / "my_labels")
    return tmp_path


def write_labels(folder: Path) -> None:
    """Three images with a polygon each, as LabelMe writes them."""
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        shape = {"label": "road", "shape_type": "polygon", "points": [[0, 20], [64, 20], [64, 48], [0, 48]]}
        labels = {"shapes": [shape], "imagePath": f"{number}.png", "imageHeight": 48, "imageWidth": 64}
        (folder / f"{number}.json").write_text(json.dumps(labels))


def write_code(folder: Path) -> None:
    """The modules that the pages show, and weights of networks with training-only parts in them."""
    (network,) = re.findall(r"^    # my_nets.py\n((?:    .*\n|\n)+)", PAGES["own-network.md"], re.MULTILINE)
    code = "\n".join(line[4:] for line in network.splitlines()) + "\n"
    (folder / "my_package").mkdir()
    for name in ("my_nets.py", "mynet.py", "my_package/nets.py"):
        (folder / name).write_text(code)
    (recipe,) = re.findall(r"```python\n(.*?)```", PAGES["recipes.md"], re.DOTALL)
    (folder / "my_recipe.py").write_text(recipe.replace("def mine", "def short"))
    program = (
        "import torch, mynet\n"
        "state = mynet.build(3).state_dict()\n"
        "extra = {f'{part}.0.weight': torch.zeros(1, 32, 1, 1) for part in ('weigh_head', 'auxiliary_head')}\n"
        "torch.save(state | extra, 'hl.pth')\n"
        "from hardedge.contracts import NetworkSpec\n"
        "from hardedge.data.opening import open_dataset\n"
        "from hardedge.models import build_network\n"
        "from pathlib import Path\n"
        "count = open_dataset(Path('my_data')).task.num_classes\n"
        "def trained(name, prefix, heads):\n"
        "    state = build_network(NetworkSpec(name=name, num_classes=count)).state_dict()\n"
        "    extra = {f'{head}.conv.weight': torch.zeros(1, 8, 1, 1) for head in heads}\n"
        "    return {prefix + key: value for key, value in (state | extra).items()}\n"
        "heads = ('auxiliary_head', 'weigh_head')\n"
        "torch.save({'state_dict': trained('mmseg_psp_r50', 'module.', heads)}, 'iter_40000.pth')\n"
        "torch.save(trained('pidnet_s', 'model.', ('seghead_p', 'seghead_d')), 'pidnet_s.pt')\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True)


def write_video(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_onnx(path: Path, **channels: int) -> None:
    """Somebody's network: normalised images in, a map of so many channels out for each name."""
    value, kind = helper.make_tensor_value_info, TensorProto.FLOAT
    weights = [
        helper.make_tensor(f"of {name}", kind, (count, 3, 1, 1), np.linspace(-1, 1, 3 * count).tolist())
        for name, count in channels.items()
    ]
    outputs = [value(name, kind, ["b", count, "h", "w"]) for name, count in channels.items()]
    nodes = [helper.make_node("Conv", ["x", f"of {name}"], [name]) for name in channels]
    graph = helper.make_graph(nodes, "theirs", [value("x", kind, ["b", 3, "h", "w"])], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=() if page in QUICK else pytest.mark.slow)
        for page, commands in COMMANDS.items()
        if any(not reason_not_to_run(command) for command in commands)
    ],
)
def test_the_commands_of_a_page_run_in_their_order(page: str, reader: Path) -> None:
    for command in [*BEFORE.get(page, []), *COMMANDS[page]]:
        if reason_not_to_run(command):
            continue
        free(command, reader)
        line = shortened(command)
        done = subprocess.run(
            ["bash", "-c", line], cwd=reader, env=environment(), capture_output=True, text=True, check=False
        )
        code, said = next((told for part, told in REFUSED.items() if part in f"{command} "), (0, ""))
        # a gate is about the network, and that of this test has learnt next to nothing
        failed = "--max-miou-drop" in command and done.returncode == 1 and "The report says why" in done.stderr
        assert failed or done.returncode == code, f"{line}\n{done.stderr}"
        assert said in done.stderr


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": ".", "NO_COLOR": "1"}


def shortened(command: str) -> str:
    """The command with what makes it short, before where its output goes."""
    words, redirected, file = command.partition(" > ")
    budget = " --budget 40s" if " --budget " in words else ""
    return f"{words} {SHORT.get(shlex.split(command)[1], '')}{budget}{redirected}{file}"


def free(command: str, folder: Path) -> None:
    """Takes away what an earlier command wrote to the place that this one writes to."""
    found = re.search(r"--(?:out|new-key) (\S+)", command)
    for path in [folder / found[1], folder / f"{found[1]}.pub"] if found else []:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
