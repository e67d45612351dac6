"""What other tools call things, typos, and what is missing: told at once, before torch is imported."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from hardedge.cli import cli
from hardedge.cli.commands import GROUPS, SECOND_NAMES
from hardedge.cli.completion import loss_names, recipe_annotations, recipe_fields
from hardedge.deploy.targets import KNOWN
from hardedge.synonyms import COMMANDS, FIELDS, TARGETS

TRAIN = "train camvid --data data --out o"
REFUSED = [
    (f"{TRAIN} --set lr=0.1", "a recipe has no field lr. Did you mean learning_rate?"),
    (f"{TRAIN} --set epochs=5", "a recipe has no field epochs. Did you mean steps?"),
    (f"{TRAIN} --set batch_size=5", "a recipe has no field batch_size. Did you mean batch?"),
    (f"{TRAIN} --set train.stepps=5", "a recipe has no field stepps. Did you mean steps?"),
    (f"{TRAIN} --set zzz=5", "a recipe has no field zzz. It has: name, network"),
    (f"{TRAIN} --set steps=five", "steps: Input should be a valid integer, got 'five'"),
    (f"{TRAIN} --set steps=1.5 --set amp=maybe", "amp: Input should be a valid boolean, got 'maybe'"),
    (f"{TRAIN} --set learning_rate=fast", "learning_rate: Input should be a valid number, got 'fast'"),
    (f"{TRAIN} --set 'loss=ce + 0.5*cgp'", "unknown term cgp. Did you mean cpg?"),
    (TRAIN, "data is not a folder"),
    ("train camvid --data . --out /usr", "/usr exists"),
    (f"{TRAIN} --epochs 5", "No such option '--epochs'. It is a field of the recipe: --set steps=VALUE"),
    (f"{TRAIN} --lr 5", "It is a field of the recipe: --set learning_rate=VALUE"),
    ("train camvit --data data --out o", "unknown recipe camvit. Did you mean camvid?"),
    ("train none.py --data data --out o", "none.py: no such file"),
    ("sweep camvid --data data --out o --loss cgp", "unknown term cgp. Did you mean cpg?"),
    ("search-loss camvid --data data --out o --set lr=1", "Did you mean learning_rate?"),
    ("run camvid --set lr=1", "Did you mean learning_rate?"),
    ("run --target jetson", 'unknown target "jetson". Did you mean tensorrt?'),
    ("export nowhere --data . --out o", "nowhere does not exist: no checkpoint.json"),
    ("export nowhere --data . --out o --opset 12", "--opset 12: hardedge writes 18 to 23"),
    ("certify nowhere nowhere", "nowhere does not exist: no bundle.json"),
    ("hard . --checkpoint nowhere --out o", "nowhere does not exist: no checkpoint.json"),
    ("edges nowhere --out o", "nowhere is not a folder"),
    ("strip nowhere --network n", "give --network, --data and --out"),
    ("train", "Missing argument 'RECIPE' and option '--data' and option '--out'."),
    ("deploy b", "Missing option '--data' and option '--out'."),
    ("check https://example.com/data", "'https://example.com/data' is a URL"),
    ("predict b rtsp://camera/1", "is given as --camera"),
    ("val b", "No such command 'val'. Did you mean 'verify'?"),
    ("infer b", "No such command 'infer'. Did you mean 'predict'?"),
]


def test_what_can_be_refused_is_refused_without_torch(tmp_path: Path) -> None:
    program = (
        "import shlex, sys\n"
        "from hardedge.cli import cli\n"
        "for line in sys.stdin.read().splitlines():\n"
        "    try:\n"
        "        cli(shlex.split(line), prog_name='hardedge', standalone_mode=False)\n"
        "    except Exception as error:\n"
        "        told = getattr(error, 'format_message', error.__str__)()\n"
        "        print(type(error).__name__, told.replace(chr(10), ' '), sep=': ')\n"
        "    else:\n"
        "        print('done')\n"
        "print('torch' in sys.modules)\n"
    )
    lines = "\n".join(line for line, _ in REFUSED)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, input=lines, capture_output=True, text=True, check=True
    )
    *told, torch = done.stdout.splitlines()
    for (line, expected), found in zip(REFUSED, told, strict=True):
        assert expected in found, line
    assert torch == "False"
    assert list(tmp_path.iterdir()) == []


def test_what_others_call_things_names_things_that_there_are() -> None:
    assert set(COMMANDS.values()) <= set(cli.commands)
    assert not set(COMMANDS) & (set(cli.commands) | set(SECOND_NAMES.values()))
    assert set(FIELDS.values()) <= set(recipe_fields())
    assert not set(FIELDS) & set(recipe_fields())
    assert set(TARGETS.values()) <= set(KNOWN)
    assert not set(TARGETS) & set(KNOWN)


def test_the_texts_that_are_read_are_what_the_code_has() -> None:
    from hardedge.train.losses import LOSSES
    from hardedge.train.recipe import Recipe

    assert loss_names() == list(LOSSES)
    assert recipe_annotations() == Recipe.__annotations__


def test_the_help_has_every_command_once_in_its_group() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(cli.commands)
    assert set(SECOND_NAMES) <= set(cli.commands)
    text = cli.get_help(click.Context(cli, info_name="hardedge", terminal_width=100))
    assert re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE) == ["Options", *GROUPS]
    for name in cli.commands:
        assert re.search(rf"^  {name}\b", text, re.MULTILINE)


@pytest.mark.parametrize(("first", "second"), SECOND_NAMES.items())
def test_a_second_name_is_the_same_command(first: str, second: str) -> None:
    assert cli.get_command(click.Context(cli), second) is cli.commands[first]


@pytest.mark.parametrize("line", ["help", "help train", "help draw-scenes"])
def test_help_is_a_word_too(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli(shlex.split(line), prog_name="hardedge", standalone_mode=False)
    usage = "Usage: hardedge " + line.removeprefix("help").strip()
    assert capsys.readouterr().out.startswith(usage)
