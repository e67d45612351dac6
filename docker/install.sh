#!/bin/sh
# Installs hardedge from the folder above this one into the active Python: install.sh edge | train | tensorrt
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
case "${1:?usage: install.sh edge|train|tensorrt}" in
    edge) package="$here" ;;
    train) package="$here[all]" ;;
    tensorrt) package="$here[tensorrt]" ;;
    *) echo "install.sh: unknown stage $1. Known: edge, train, tensorrt." >&2; exit 2 ;;
esac
python -m pip install --no-cache-dir --upgrade pip
python -m pip install --no-cache-dir "$package"
hardedge --version
