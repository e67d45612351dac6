"""One engine's parts in a process of its own: `python -m hardedge.deploy.acceptance.engine_process JOB`.

TensorRT and TensorRT-RTX cannot share a process, and an engine that ends its process must not end the others' trial.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from hardedge.child_process import run_child
from hardedge.contracts import AcceptanceCheck, Engine, load
from hardedge.deploy.acceptance.parts import (
    PROVES,
    Amounts,
    Subject,
    checked,
    measure_latency,
    repeat_loads,
    run_open_parts,
)
from hardedge.deploy.acceptance.variants import reason_of, run_variant_parts
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.engines.open import open_runner
from hardedge.errors import HardedgeError, Unavailable

_LINE = "check: "


def checks_of_engine(bundle: Path, directory: Path, engine: Engine, amounts: Amounts) -> list[AcceptanceCheck]:
    """The engine's lines; where its process ended before the last one, a line says how."""
    job = {"bundle": str(bundle), "engine": str(directory), "amounts": asdict(amounts)}
    done = run_child("hardedge.deploy.acceptance.engine_process", json.dumps(job))
    lines = [line.removeprefix(_LINE) for line in done.output.splitlines() if line.startswith(_LINE)]
    checks = [AcceptanceCheck(**json.loads(line)) for line in lines]
    if done.status != 0:
        how = f"signal {-done.status}" if done.status < 0 else f"status {done.status}"
        said = "".join(f": {line}" for line in done.errors.strip().splitlines()[-1:])
        part = next(part for part in PROVES if part != "build" and part not in {each.part for each in checks})
        found = f"the process ended with {how} at this part or before it{said}"
        checks.append(checked(engine.target, engine.precision, part, ("fail", found)))
    return checks


def run_engine_parts(subject: Subject) -> Iterator[AcceptanceCheck]:
    """Every part of one engine; one line where this machine cannot open it."""
    try:
        runner = open_runner(subject.directory)
    except Unavailable as error:
        yield subject.check("golden masks", ("not run", f"built, not opened: {reason_of(error)}"))
        return
    except HardedgeError as error:
        yield subject.check("golden masks", ("fail", reason_of(error)))
        return
    with closing(runner):
        yield from run_open_parts(subject, runner)
    yield from run_variant_parts(subject)
    yield subject.check("latency", measure_latency(subject))
    yield subject.check("loads and frees", repeat_loads(subject))


def main(job: str) -> None:
    """Prints each line as JSON as soon as it is known."""
    given = json.loads(job)
    directory = Path(given["engine"])
    bundle = load_bundle(Path(given["bundle"]))
    subject = Subject(bundle, directory, load(Engine, directory), Amounts(**given["amounts"]))
    for check in run_engine_parts(subject):
        print(f"{_LINE}{json.dumps(asdict(check))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
