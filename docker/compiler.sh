#!/bin/sh
# What compile=true needs: a C++ compiler for the CPU, and Python's headers for the launchers of kernels on a GPU
set -eu
. "$(dirname "$0")/settings.sh"
headers=$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')
if [ -e "$headers/Python.h" ]; then apt_install g++; else apt_install g++ python3-dev; fi
cc --version
