#!/bin/sh
# Installs hardedge into the active Python: install.sh edge | device | train | tensorrt [WHEELS]
# from the wheel in the folder WHEELS, else from the folder above this one.
#   edge      the bare install: predict, deploy, verify; no torch
#   device    edge, video files and signatures, and cuda-python where TensorRT is there already (NVIDIA's images, JetPack)
#   train     everything
#   tensorrt  edge, and TensorRT from NVIDIA's index
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
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
python -m pip install --no-cache-dir --upgrade pip
python -m pip install --no-cache-dir "$package"
# looked for, not imported: no driver answers while an image is built
there='import importlib.util, sys; sys.exit(importlib.util.find_spec("tensorrt") is None)'
if [ "$stage" = device ] && python -c "$there"; then
    # of the CUDA that is here: a newer cuda-python needs a newer driver
    cuda=${CUDA_VERSION:-12}
    python -m pip install --no-cache-dir "cuda-python>=12.6,<$((${cuda%%.*} + 1))"
fi
hardedge --version
