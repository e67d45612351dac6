"""What a new user does wrong: one message that says what to do next, the exit code, and nothing written."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from hardedge.cli import main

TRAIN = "train camvid --data data --out o"
EXPORT = "export run/checkpoint --data data --out o"
DEPLOY = "deploy run/bundle --data data --out o --target onnxruntime:cpu"
SEARCH = "search-loss camvid --data data --out o"
SWEEP = "sweep camvid --data data --out o"
PREDICT = "predict run/bundle --out o"

# the command, its exit code, and what the message must say: what is wrong, and what to do next
MISTAKES: list[tuple[str, int, str, str]] = [
    # wrong words
    (
        "trian camvid --data data --out o",
        2,
        "No such command 'trian'",
        "Did you mean one of: 'strip', 'train', 'triton'?",
    ),
    ("train --data data --out o", 2, "Missing argument 'RECIPE'", "hardedge train --help"),
    ("train camvid --out o", 2, "Missing option '--data'", "hardedge train --help"),
    ("recipes --jsn", 2, "No such option '--jsn'", "Did you mean '--json'?"),
    ("train camvit --data data --out o", 2, "unknown recipe camvit", "Did you mean camvid?"),
    ("train notes.txt --data data --out o", 2, "unknown recipe notes.txt", "FILE.py of your own"),
    ("train nofile.py --data data --out o", 2, "nofile.py: no such file", "Give the path of a Python file"),
    (f"{TRAIN} --set stepps=5", 2, "a recipe has no field stepps", "Did you mean steps?"),
    (f"{TRAIN} --set steps", 2, "'steps' has no '='", "Write it as FIELD=VALUE"),
    (f"{TRAIN} --set steps=five", 2, "steps: Input should be a valid integer, got 'five'", "Change these fields"),
    (f"{TRAIN} --set steps=-5", 2, "steps: expected 1 or more, got -5", "Change these fields"),
    (f"{TRAIN} --set crop=64", 2, "crop.1: Field required, got [64]", "Change these fields"),
    (f"{TRAIN} --set crop=0,0", 2, "crop: expected a height and a width of 32 or more", "Change these fields"),
    (f"{TRAIN} --set batch=0", 2, "batch: expected 2 or more", "Change these fields"),
    (f"{TRAIN} --set learning_rate=-1", 2, "learning_rate: expected a positive number", "Change these fields"),
    (f"{TRAIN} --set network=resnet50", 2, 'unknown network "resnet50"', "Did you mean fpn_resnet50?"),
    (f"{TRAIN} --set optimiser=adam", 2, "optimiser: Input should be 'sgd' or 'adamw'", "Change these fields"),
    (f"{TRAIN} --set 'loss=ce + 0.5*cgp'", 2, "unknown term cgp", "Did you mean cpg?"),
    (f"{TRAIN} --set 'loss=ce+'", 2, 'loss "ce+": not readable', "Write terms like"),
    (f"{TRAIN} --set loss=hardness --set branches=", 2, "needs a hardness branch", "set branches=light"),
    (f"{TRAIN} --budget 10", 2, "'10' is no duration", "Write it as 90s, 10m or 2h"),
    (f"{TRAIN} --qat int8", 2, "--qat fine-tunes", "give the trained checkpoint as --start-from"),
    (f"{TRAIN} --hardness-maps run/checkpoint", 2, "hardness maps are given too", "set branches="),
    (f"{SEARCH} --metric accuracy", 2, "'accuracy' is not one of", "'boundary'"),
    (f"{SEARCH} --storage nosuch://host/db", 2, "--storage nosuch://... cannot be opened", "sqlite:///study.db"),
    (f"{SWEEP} --vary learning_rate=1e-4..1e-2", 2, "is a range, and a grid goes through values", "or a --sampler"),
    (f"{SWEEP} --sampler tpe", 2, "--points goes with --sampler random or tpe", "hardedge sweep --help"),
    (f"{SWEEP} --vary steps=5 --vary steps=9", 2, "--vary steps is there twice", "Write its values in one"),
    (f"{SWEEP} --set seed=7", 2, "--set seed", "give it as --first-seed"),
    (f"{SWEEP} --set loss=ce --loss lmp", 2, "--set loss and --loss say the same", "Give every loss as --loss"),
    (f"{SWEEP} --set steps=5 --vary 'steps=5|9'", 2, "--set steps and --vary say the same", "Leave --set out"),
    (f"{SWEEP} --loss 'ce + 0.5*cgp'", 2, "unknown term cgp", "Did you mean cpg?"),
    ("sweep camvid --data data --out run", 2, "run exists and is no study", "Give another --out"),
    (f"{EXPORT} --precision fp17", 2, 'unknown precision "fp17"', "Did you mean fp16?"),
    (f"{EXPORT} --opset 12", 2, "--opset 12: hardedge writes 18 to 23", "Give one of these"),
    (f"{EXPORT} --calibrate-by easy", 2, "'easy' is not one of", "'hardness'"),
    (f"{DEPLOY} --target gpu", 2, 'unknown target "gpu"', "Known: onnxruntime:cpu"),
    (f"{DEPLOY} --target tensorrt-rtx:sm99", 2, "tensorrt-rtx:sm99", "Did you mean tensorrt-rtx:sm89?"),
    (f"{DEPLOY} --max-miou-drop=-1", 2, "-1.0 is not in the range", "hardedge deploy --help"),
    (f"{DEPLOY} --require-precision int8", 2, "require-precision: expected text such as", "got 'int8'"),
    (f"{DEPLOY} --require-precision 'int9>=0.5'", 2, "require-precision: expected text such as", "got 'int9>=0.5'"),
    (f"{DEPLOY} --latency 5", 2, "'5' is no duration", "Write it as 90s, 10m or 2h"),
    (f"{DEPLOY} --require level9", 2, "'level9' is not one of", "'level0'"),
    ("tune run/bundle --data data --out o --goal faster", 2, 'goal "faster"', "for example miou-drop<=0.2"),
    ("sign run/bundle", 2, "Give ARTEFACT and --key to sign", "--new-key"),
    # wrong paths
    ("train camvid --data nowhere --out o", 2, "nowhere is not a folder", "images/, masks/, splits/"),
    ("train camvid --data data/images --out o", 2, "data/images has no classes.json", "Write one"),
    ("train camvid --data notes.txt --out o", 2, "notes.txt is not a folder", "images/, masks/, splits/"),
    ("train camvid --data data --out run/checkpoint", 2, "run/checkpoint exists", "--force to replace it"),
    ("train camvid --data data --out data --force", 2, "would replace what is read: data", "Give another --out"),
    ("train camvid --data data --out notes.txt/o", 2, "notes.txt is a file", "Give another --out"),
    ("train camvid --data data --out /proc/o", 3, "cannot write /proc/o", "Choose another --out"),
    (f"{TRAIN} --start-from nowhere", 2, "nowhere does not exist", "Create it with: hardedge train"),
    (f"{TRAIN} --backbone-weights nowhere.pth", 2, "nowhere.pth: no such file", "Give a file with a state_dict"),
    ("export nowhere --data data --out o", 2, "nowhere does not exist", "Create it with: hardedge train"),
    ("export run/checkpoint/weights.safetensors --data data --out o", 2, "is a file", "Give run/checkpoint."),
    ("export run --data data --out o", 2, "run has no checkpoint.json", "Did you mean run/checkpoint?"),
    ("export run/checkpoint --data nowhere --out o", 2, "nowhere is not a folder", "Give a folder with images/"),
    (f"{DEPLOY} --gates nowhere.toml", 2, "nowhere.toml cannot be read", "Give the file with the gates"),
    ("predict run/bundle nowhere.png --out o", 2, "nowhere.png: does not exist", "Correct the paths"),
    ("predict run/bundle data/images --out run/bundle", 2, "run/bundle exists", "Give another --out"),
    ("check nowhere", 2, "nowhere is not a folder", "images/, masks/, splits/"),
    ("scenes --out data", 2, "data exists", "--force to replace it"),
    ("keep nowhere.onnx --out o.onnx --keep logits", 2, "nowhere.onnx is no file", "Give the path of an ONNX file"),
    ("sign data --key nowhere.pem", 2, "nowhere.pem cannot be read", "hardedge sign --new-key KEY"),
    ("doctor nowhere", 2, "nowhere holds neither engine.json nor bundle.json", "Give a bundle or an engine"),
    # wrong data
    (f"{TRAIN} --backbone-weights garbage.pth", 2, "garbage.pth: neither safetensors nor", "torch.save("),
    (f"{DEPLOY} --gates misspelt.toml", 2, "max-miou-dropp: no such gate", "Did you mean max-miou-drop?"),
    (f"{DEPLOY} --gates nonsense.toml", 2, "nonsense.toml is not TOML", "Write a line a gate"),
    (f"{PREDICT} notes.txt", 2, "notes.txt: not an image in a known format", "leave them out"),
    (f"{PREDICT} text.png", 2, "text.png: not an image in a known format", "leave them out"),
    (f"{PREDICT} truncated.png", 2, "truncated.png cannot be read as an image", "Replace what is damaged"),
    (f"{PREDICT} empty", 2, "empty: no image file in it", "Correct the paths"),
    (f"{PREDICT} small.png", 2, "small.png: 1x20x20", "Convert or resize them"),
    ("keep garbage.onnx --out o.onnx --keep logits", 2, "garbage.onnx is not a valid ONNX file", "Export it again"),
    ("keep run/bundle/model.onnx --out o.onnx --keep logits", 2, "has no output logits", "It has: mask"),
    ("check data/images", 2, "has no classes.json", "Write one"),
    # wrong order of stages
    (
        "export run/bundle --data data --out o",
        2,
        "but bundle.json (made by hardedge export)",
        "Give what hardedge train",
    ),
    ("deploy run/checkpoint --data data --out o", 2, "but checkpoint.json (made by", "Give what hardedge export"),
    ("predict run/checkpoint data/images --out o", 2, "but checkpoint.json (made by", "Give what hardedge export"),
    ("bench run/checkpoint", 2, "but checkpoint.json (made by", "Give what hardedge export wrote"),
    ("certify run/checkpoint run/bundle", 2, "but checkpoint.json (made by", "Give what hardedge export wrote"),
    ("report run run/report", 2, "one and the same report", "Give the reports of two runs"),
    ("report run run/bundle", 2, "but bundle.json (made by", "Give what hardedge deploy wrote"),
    ("report run/report/report.html run", 2, "report.html is a file", "Give run/report"),
    ("tune run/bundle --data data --out o", 2, "run/bundle has no INT8 file to tune", "--precision int8"),
    (f"{DEPLOY} --precision int8", 2, "the bundle has no int8 model", "hardedge export --precision int8 writes it"),
    (f"{TRAIN} --start-from run/bundle", 2, "but bundle.json (made by", "Give what hardedge train wrote"),
    ("train camvid --data data --out run/checkpoint --resume", 2, "is finished: nothing to resume", "train anew"),
    (f"{TRAIN} --resume", 2, "nothing to resume", "Start the training without --resume"),
    ("run --resume --out nowhere", 2, "nothing to resume", "Run without --resume"),
    ("run --resume --out run", 2, "run was not started on the street scenes", "Give its data set again"),
    ("triton run/checkpoint --out o", 2, "but checkpoint.json (made by", "Give what hardedge export wrote"),
    ("triton run/bundle --out o --version 0", 2, "0 is not in the range x>=1", "hardedge triton --help"),
    ("triton run/bundle --out o --engine run/engines/onnxruntime-cpu --precision fp32", 2, "not both", "--engine or"),
    ("triton run/bundle --out o --engine run/engines/tensorrt-rtx-sm86", 2, "plans of TensorRT alone", "tensorrt,"),
    ("triton run/bundle --out o --precision tensor", 2, "has no model.tensor.onnx", "export --frontend tensor"),
    ("triton run/bundle --out notes.txt", 2, "notes.txt is a file", "Give another --out"),
    (PREDICT, 2, "Give images, folders or videos, or --camera", "hardedge predict --help"),
    (f"{PREDICT} data/images --ray 127.0.0.1:1", 3, "no Ray cluster at 127.0.0.1:1", "ray start --head"),
    ("prepare data --shards 99 --out o", 2, "--shards 99, but the training split has", "Give at most as many"),
    ("prepare data --shards 2 --shard-size 2 --out o", 2, "say the same: how large a shard is", "Give one of them"),
    (f"{PREDICT} data/images --ray local --video masks", 2, "--ray makes masks of images", "leave --video out"),
    (f"{PREDICT} data/images --camera 0", 2, "Give --camera alone", "hardedge predict --help"),
    (f"{PREDICT} data/images --frames 5", 2, "--frames is for --camera", "hardedge predict --help"),
    (f"{PREDICT} --camera drive.mp4", 2, "--camera drive.mp4: expected a number", "Write it as 0, /dev/video0"),
    # what is missing on the machine
    (f"{PREDICT} --camera 987", 3, "/dev/video987 cannot be opened", "Connect it, or give another one"),
    (
        "deploy run/bundle --data data --out o --target tensorrt",
        3,
        "tensorrt is not installed",
        "pip install 'hardedge[tensorrt]'",
    ),
    ("bench run/bundle --target tensorrt", 3, "tensorrt is not installed", "pip install 'hardedge[tensorrt]'"),
    ("bench run/bundle --target onnxruntime:cuda", 3, "no usable GPU", "or use onnxruntime:cpu"),
    ("bench run/bundle --target onnxruntime:cpu --batch 999", 2, "--batch 999", "Give one of these"),
]


@pytest.fixture(scope="module")
def workshop(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a finished run, and files that are not what their names say."""
    home = tmp_path_factory.mktemp("workshop")
    shutil.copytree(finished / "data", home / "data")
    shutil.copytree(finished / "run", home / "run")
    (home / "empty").mkdir()
    (home / "notes.txt").write_text("hello")
    (home / "text.png").write_text("not an image")
    image = next((home / "data/images").iterdir())
    (home / "truncated.png").write_bytes(image.read_bytes()[:150])
    Image.new("RGB", (20, 20)).save(home / "small.png")
    for name in ("garbage.onnx", "garbage.pth"):
        (home / name).write_bytes(b"garbage")
    (home / "misspelt.toml").write_text("max-miou-dropp = 0.5\n")
    (home / "nonsense.toml").write_text("= nonsense\n")
    return home


def test_there_are_sixty_different_ones() -> None:
    assert len({command for command, *_ in MISTAKES}) == len(MISTAKES) >= 60


@pytest.mark.parametrize(("command", "code", "wrong", "fix"), MISTAKES, ids=[command for command, *_ in MISTAKES])
def test_one_message(
    command: str,
    code: int,
    wrong: str,
    fix: str,
    workshop: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(workshop)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "argv", ["hardedge", *shlex.split(command)])
    before = contents(workshop)
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    told = printed.out + printed.err
    assert stopped.value.code == code, told
    assert wrong in told
    assert fix in told
    assert len(re.findall(r"^Error: ", printed.err, re.MULTILINE)) == (0 if command.startswith("check ") else 1), told
    assert "Traceback" not in told
    assert contents(workshop) == before


def contents(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))
