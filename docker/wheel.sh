#!/bin/sh
# Builds hardedge's wheel from the folder above this one: wheel.sh FOLDER
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/docker/settings.sh"
python3 -m pip wheel --no-deps --wheel-dir "${1:?usage: wheel.sh FOLDER}" "$here"
