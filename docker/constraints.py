"""Pins what the images install: writes constraints.txt beside this file, the newest versions that fit together."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def pins() -> list[str]:
    """NAME==VERSION of all that the images install, as pip chooses them for this Python."""
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        wanted = Path(folder) / "requirements"
        subprocess.run([sys.executable, HERE / "requirements.py", wanted], check=True)
        words = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
        words += ["--requirement", str(wanted / "train.txt")]
        done = subprocess.run([sys.executable, "-m", "pip", *words], stdout=subprocess.PIPE, text=True, check=True)
    found = [each["metadata"] for each in json.loads(done.stdout)["install"]]
    # without the mark of a build that an index of this machine may have
    return sorted(f"{each['name'].lower()}=={each['version'].partition('+')[0]}" for each in found)


if __name__ == "__main__":
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    head = f"# what the images install on Python {python} and later; made by `make release-check`"
    (HERE / "constraints.txt").write_text("\n".join([head, *pins(), ""]))
