#!/bin/sh
# Makes a virtual environment that sees the base image's packages, TensorRT among them: environment.sh FOLDER
set -eu
folder=${1:?usage: environment.sh FOLDER}
. "$(dirname "$0")/settings.sh"
# Debian and Ubuntu keep it in a package of its own
python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
python3 -m venv --system-site-packages "$folder"
