#!/bin/sh
# Installs what hardedge needs into the active Python, without hardedge itself: dependencies.sh device | train REQUIREMENTS
# of the folder that requirements.py makes; in the versions of constraints.txt, which hold from Python 3.11 on.
#   device    the bare install, video files and signatures, and cuda-python where TensorRT is there already
#             (NVIDIA's images, JetPack); no torch
#   train     everything
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/settings.sh"
stage=${1:?usage: dependencies.sh device|train REQUIREMENTS}
listed=${2:?usage: dependencies.sh device|train REQUIREMENTS}/$stage.txt
case "$stage" in
    device | train) ;;
    *) echo "dependencies.sh: unknown stage $stage. Known: device, train." >&2; exit 2 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$listed" "$work/requirements"
touch "$work/constraints"
if python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then cp "$here/constraints.txt" "$work/constraints"; fi
# of the CUDA that is here: a newer cuda-python needs a newer driver, and onnxruntime-gpu needs CUDA 13 from 1.27 on
cuda=${CUDA_VERSION:-}
cuda=${cuda%%.*}
if [ "$stage" = device ]; then
    sed -i '/^cuda-/d' "$work/constraints"
fi
if [ "$stage" = device ] && [ "$cuda" = 12 ]; then
    sed -i '/^onnxruntime-gpu==/d' "$work/constraints"
    echo 'onnxruntime-gpu<1.27' >> "$work/constraints"
fi
# looked for, not imported: no driver answers while an image is built
there='import importlib.util, sys; sys.exit(importlib.util.find_spec("tensorrt") is None)'
if [ "$stage" = device ] && python -c "$there"; then
    echo "cuda-python>=12.6,<$((${cuda:-12} + 1))" >> "$work/requirements"
fi
export PIP_CONSTRAINT="$work/constraints"
python -m pip install --upgrade pip
python -m pip install --requirement "$work/requirements"
