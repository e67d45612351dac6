"""Builds the images with docker or podman, as tags hardedge:NAME: images.py [edge] [nvidia] [train] [--source URL].

The bases are pulled; where they cannot be, python's is made by mmdebstrap, and NVIDIA's is stood in for by one with its
peculiarities: no ensurepip, PEP 668, a TensorRT in dist-packages, CUDA_VERSION. `nvidia` is that stand-in's edge image.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON_BASE = "python:3.12-slim"
MADE_BASE = "hardedge-base:python"
STAND_IN = "hardedge-base:nvidia-tensorrt"
TARGETS = {"edge": "edge", "nvidia": "edge", "train": "train"}
CUDA, TENSORRT = "12.8.1", "10.9.0.34"
# a container's own defaults need rights that root of a sandbox may lack
ULIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")


def container_engine() -> str:
    """`docker` or `podman`, the first that answers; exits with 3 without one."""
    for name in ("docker", "podman"):
        asked = [name, "version" if name == "docker" else "info"]
        if shutil.which(name) and subprocess.run(asked, capture_output=True, check=False).returncode == 0:
            return name
    print("Neither docker nor podman answers here. On Debian: apt-get install podman runc", file=sys.stderr)
    raise SystemExit(3)


def python_base(engine: str) -> str:
    """Python's own image where it can be pulled, else one made of Debian's packages."""
    if succeeds(engine, "image", "inspect", PYTHON_BASE) or succeeds(engine, "pull", PYTHON_BASE):
        return PYTHON_BASE
    if not succeeds(engine, "image", "inspect", MADE_BASE):
        make_base(engine, MADE_BASE, ["python3-pip", "python3-venv", "ca-certificates"])
    return MADE_BASE


def nvidia_stand_in(engine: str) -> str:
    """A base like NVIDIA's TensorRT image, as far as its Python is concerned."""
    if not succeeds(engine, "image", "inspect", STAND_IN):
        folder = "/usr/lib/python3/dist-packages/tensorrt"
        made = f"mkdir -p $1{folder} && echo '__version__ = \"{TENSORRT}\"' > $1{folder}/__init__.py"
        make_base(engine, STAND_IN, ["python3-pip", "ca-certificates"], hook=made, change=f"ENV CUDA_VERSION={CUDA}")
    return STAND_IN


def make_base(
    engine: str, name: str, packages: list[str], hook: str = "true", change: str = "ENV LANG=C.UTF-8"
) -> None:
    """Imports a Debian of these packages and of no other, without this machine's name and name servers."""
    if not shutil.which("mmdebstrap"):
        print(f"{PYTHON_BASE} cannot be pulled, and mmdebstrap is not here to make a base.", file=sys.stderr)
        raise SystemExit(3)
    release = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        archive = Path(folder) / "base.tar"
        words = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", f"--customize-hook={hook}"]
        words += ["--customize-hook=rm --force $1/etc/resolv.conf $1/etc/hostname"]
        run(*words, release[1] if release else "stable", str(archive))
        run(engine, "import", "--change", change, str(archive), name)


def secrets(folder: Path) -> list[str]:
    """This machine's settings of pip and apt and its certificates, as far as it has any, for the build alone."""
    found = {"pip.conf": pip_settings(), "apt.conf": apt_settings(), "ca.crt": certificates()}
    words = []
    for name, text in found.items():
        if text:
            (folder / name).write_text(text)
            words += ["--secret", f"id={name},src={folder / name}"]
    return words


def pip_settings() -> str:
    """Where pip looks for packages, from its files and its environment; folders of this machine are not in an image."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    kept = {}
    for key, value in re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", told.stdout, re.MULTILINE):
        addresses = " ".join(word for word in value.split("\\n") for word in word.split() if "://" in word)
        if key in ("index-url", "extra-index-url"):
            kept[key] = " ".join(word for word in addresses.split() if not word.startswith("file:"))
        elif key in ("proxy", "trusted-host", "default-timeout", "timeout"):
            kept[key.removeprefix("default-")] = value
    return (
        "[global]\n" + "".join(f"{key} = {value}\n" for key, value in kept.items() if value)
        if any(kept.values())
        else ""
    )


def apt_settings() -> str:
    """How apt reaches its archives: proxies and certificates among it."""
    if not shutil.which("apt-config"):
        return ""
    words = ["apt-config", "dump", "--no-empty", "--format", '%f "%v";%n', "Acquire"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def certificates() -> str:
    """The certificates that this machine trusts."""
    named = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    return Path(named).read_text() if Path(named).is_file() else ""


def labels(source: str) -> list[str]:
    """The build arguments of the image's labels: the version, and the revision where git has one."""
    project = (ROOT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    licence = re.search(r'^license = "(.+)"$', project, re.MULTILINE)
    git = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    found = {
        "SOURCE": source,
        "VERSION": version[1] if version else "",
        "REVISION": git.stdout.strip(),
        "LICENCE": licence[1] if licence else "",
    }
    return [word for name, value in found.items() for word in ("--build-arg", f"{name}={value}")]


def build(engine: str, name: str, source: str) -> None:
    """Builds one image; prints its size and how long it took."""
    base = python_base(engine)
    edge = nvidia_stand_in(engine) if name == "nvidia" else base
    bases = ["--build-arg", f"PYTHON_BASE={base}", "--build-arg", f"EDGE_BASE={edge}"]
    layers = ["--layers", "--format", "docker"] if engine == "podman" else []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        words = [
            engine,
            "build",
            "--network",
            "host",
            *ULIMITS,
            *layers,
            *secrets(Path(folder)),
            *bases,
            *labels(source),
        ]
        run(*words, "--target", TARGETS[name], "--tag", f"hardedge:{name}", str(ROOT))
    size = subprocess.run(
        [engine, "image", "inspect", "--format", "{{.Size}}", f"hardedge:{name}"],
        capture_output=True,
        text=True,
        check=True,
    )
    print(f"hardedge:{name}  {int(size.stdout) / 1e6:.0f} MB  built in {time.monotonic() - began:.0f} s", flush=True)


def succeeds(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def run(*words: str) -> None:
    subprocess.run(words, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds the images with docker or podman, as tags hardedge:NAME.")
    parser.add_argument("names", nargs="*", metavar="edge|nvidia|train", help="which; edge and nvidia by default")
    parser.add_argument("--source", default="", help="the address of the source, for the images' label")
    given = parser.parse_args()
    if unknown := set(given.names) - TARGETS.keys():
        parser.error(f"unknown image {', '.join(sorted(unknown))}. Known: {', '.join(TARGETS)}.")
    engine = container_engine()
    for name in given.names or ["edge", "nvidia"]:
        build(engine, name, given.source)


if __name__ == "__main__":
    main()
