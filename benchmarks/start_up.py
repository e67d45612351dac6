"""The CPU time that a command takes before it does anything: `--help` of the program and of a command.

    python benchmarks/start_up.py [--blocks 10] [--json]

Each is a process of its own, in turns, by the user and system time of that process; beside them Python with click, the
least that such a program can take, twice (the A/A).
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch
from measure import machine, timed_by_themselves

HARDEDGE = str(Path(sys.executable).parent / "hardedge")
BASELINE = "python with click"
ARMS = {
    BASELINE: (sys.executable, "-c", "import click"),
    f"{BASELINE} again": (sys.executable, "-c", "import click"),
    "hardedge --help": (HARDEDGE, "--help"),
    "hardedge predict --help": (HARDEDGE, "predict", "--help"),
}


def cpu_seconds(command: tuple[str, ...]) -> float:
    """User and system time of the process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of --help.")
    parser.add_argument("--blocks", type=int, default=10, help="how often each arm is timed, there and back")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    for command in ARMS.values():
        cpu_seconds(command)  # writes bytecode, fills the disk's cache
    arms = {name: partial(cpu_seconds, command) for name, command in ARMS.items()}
    found = timed_by_themselves(arms, BASELINE, args.blocks)
    facts = machine(torch.device("cpu"))
    if args.json:
        results = [{"arm": arm, "timing": dataclasses.asdict(timing)} for arm, timing in found.items()]
        print(json.dumps({"machine": facts, "results": results}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    for arm, timing in found.items():
        print(f"{arm:25} {timing.ms:5.0f} ms CPU  {timing.ratio:.2f} [{timing.low:.2f}, {timing.high:.2f}]")


if __name__ == "__main__":
    main()
