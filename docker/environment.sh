#!/bin/sh
# Makes a virtual environment that sees the base image's packages, TensorRT among them: environment.sh FOLDER
set -eu
folder=${1:?usage: environment.sh FOLDER}
if ! python3 -c 'import ensurepip' 2>/dev/null; then
    # Debian and Ubuntu keep it in a package of its own
    apt-get update
    apt-get install --yes --no-install-recommends python3-venv
    rm -rf /var/lib/apt/lists/*
fi
python3 -m venv --system-site-packages "$folder"
