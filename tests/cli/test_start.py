"""A command starts at once: what takes long to import waits until it is needed."""

import subprocess
import sys

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
