#!/bin/sh
# Fails where the name of a base image, NVIDIA's for Jetsons or for TensorRT, promises a TensorRT that Python does not
# find: tensorrt.sh BASE
set -eu
case "${1:?usage: tensorrt.sh BASE}" in
    *l4t* | *jetpack* | *tensorrt*) ;;
    *) exit 0 ;;
esac
if ! python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("tensorrt") is None)'; then
    echo "$1 has no TensorRT for Python $(python3 --version | cut -d ' ' -f 2)." >&2
    echo "Give a base that has one: --build-arg EDGE_BASE=nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel" >&2
    exit 3
fi
