"""A command starts at once: what takes long to import waits until it is needed."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from hardedge.cli import cli

# numpy alone takes longer to import than all of the command line
HEAVY = "numpy torch torchvision onnx onnxruntime PIL scipy pydantic polygraphy rich timm tensorrt tensorrt_rtx"


@pytest.mark.parametrize("words", [[], *([name] for name in sorted(cli.commands))], ids=" ".join)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    program = (
        "import sys\n"
        "from hardedge.cli import cli\n"
        f"cli({[*words, '--help']!r}, prog_name='hardedge', standalone_mode=False)\n"
        f"sys.exit(' '.join(sorted(set({HEAVY!r}.split()) & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"Usage: {' '.join(['hardedge', *words])} "), done.stderr
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_can_be_stopped_while_it_is_still_being_imported(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from hardedge.__main__ import main; main()"
    words = [sys.executable, "-c", program]
    # jobs in the background begin with Ctrl-C ignored, and so would what they start
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    assert started.stdout is not None
    assert started.stdout.readline() == "importing\n"
    started.send_signal(number)
    told = started.communicate(timeout=30)
    assert (started.returncode, told) == (130, ("", "Interrupted before anything began.\n"))
