#!/bin/sh
# Installs hardedge into the active Python: install.sh edge | device | train | tensorrt [WHEELS]
# from the wheel in the folder WHEELS, else from the folder above this one.
#   edge      the bare install: predict, deploy, verify; no torch
#   device    edge, video files and signatures
#   train     everything
#   tensorrt  edge, and TensorRT from NVIDIA's index
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/docker/settings.sh"
stage=${1:?usage: install.sh edge|device|train|tensorrt [WHEELS]}
package=$here
if [ -n "${2:-}" ]; then
    package=$(ls "$2"/hardedge-*.whl)
fi
case "$stage" in
    edge) ;;
    device) package="$package[sign,video]" ;;
    train) package="$package[all]" ;;
    tensorrt) package="$package[tensorrt]" ;;
    *) echo "install.sh: unknown stage $stage. Known: edge, device, train, tensorrt." >&2; exit 2 ;;
esac
python -m pip install "$package"
hardedge --version
