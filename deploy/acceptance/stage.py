"""`hardedge acceptance`: the bundle that ships with hardedge through every engine that this machine builds or opens."""

from __future__ import annotations

import getpass
import re
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from hardedge.console import note, spinner
from hardedge.contracts import Acceptance, AcceptanceCheck, Engine
from hardedge.deploy.acceptance.engine_process import checks_of_engine
from hardedge.deploy.acceptance.parts import QUICK, Amounts, checked
from hardedge.deploy.acceptance.variants import reason_of
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.engines.build import build
from hardedge.deploy.precisions import cannot_hold
from hardedge.deploy.provenance import machine_facts
from hardedge.deploy.targets import KNOWN, backend_of
from hardedge.errors import BadInput, HardedgeError, Unavailable
from hardedge.version import __version__

BUNDLE = Path(__file__).parent / "trained-bundle"


def accept(
    targets: Sequence[str] = (), precisions: Sequence[str] = (), *, quick: bool = False, bundle: Path = BUNDLE
) -> Acceptance:
    """Builds, opens and tries an engine of each target and precision; all of them, where none is named.

    What cannot run here is one line with its reason. Raises Unavailable where no engine was built at all.
    """
    began, source = time.perf_counter(), load_bundle(bundle)
    source.check()
    amounts, wanted = QUICK if quick else Amounts(), tuple(targets) or tuple(KNOWN)
    held = [model.precision for model in source.manifest.models]
    chosen = [name for name in held if not precisions or name in precisions]
    if not chosen:
        raise BadInput(f"the bundle has no {', '.join(precisions)}. It has: {', '.join(held)}.")
    checks: list[AcceptanceCheck] = []
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        for target in wanted:
            checks += [_without_places(check, folder) for check in _of_target(bundle, target, chosen, folder, amounts)]
    built = [check for check in checks if check.part == "build" and check.status == "pass"]
    if not built:
        reasons = "\n".join(f"  {check.target}: {check.found}" for check in checks)
        raise Unavailable(f"no engine could be built on this machine:\n{reasons}\nSee hardedge doctor.")
    return Acceptance(
        schema_id=Acceptance.SCHEMA,
        hardedge=__version__,
        verdict="fail" if any(check.status == "fail" for check in checks) else "pass",
        bundle=source.manifest.digest,
        quick=quick,
        checks=tuple(checks),
        machine=machine_facts(),
        seconds=time.perf_counter() - began,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _of_target(
    bundle: Path, target: str, precisions: Sequence[str], folder: str, amounts: Amounts
) -> Iterator[AcceptanceCheck]:
    """The lines of one target, which is given up where its builder is not here at all."""
    for precision in precisions:
        reason = cannot_hold(target, precision)
        if reason:
            yield checked(target, precision, "build", ("not run", reason))
            continue
        path = Path(folder) / f"{target.replace(':', '-')}-{precision}"
        began = time.perf_counter()
        try:
            engine = build(bundle, target, path, precision=precision)
        except Unavailable as error:
            yield checked(target, precision, "build", ("not run", reason_of(error)))
            if not _depends_on_precision(target):
                return
            continue
        except HardedgeError as error:
            yield checked(target, precision, "build", ("fail", reason_of(error)))
            continue
        yield checked(target, precision, "build", ("pass", f"{time.perf_counter() - began:.1f} s{_healed(engine)}"))
        with spinner(f"acceptance of {target} {precision}"):
            found = checks_of_engine(bundle, path, engine, amounts)
        note(f"{target} {precision}: {_counted(found)}")
        yield from found


def _depends_on_precision(target: str) -> bool:
    # OpenVINO says at each build what a device does not execute
    return backend_of(target).name == "openvino"


def _healed(engine: Engine) -> str:
    return f", {len(engine.healed)} nodes in FP32" if engine.healed else ""


def _counted(checks: Sequence[AcceptanceCheck]) -> str:
    names = ("pass", "fail", "measured", "not run")
    counts = {name: sum(check.status == name for check in checks) for name in names}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _without_places(check: AcceptanceCheck, folder: str) -> AcceptanceCheck:
    """The line without directories of this machine, its name, and its user's."""
    found = re.sub(r"(?<![\w:/])/(?:\S*/)?(?=[^\s/])", "", check.found)
    names = {socket.gethostname(): "HOST"}
    with suppress(Exception):  # a user without a name
        names[getpass.getuser()] = "USER"
    for name, said in names.items():
        if len(name) > 1:
            found = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", said, found)
    return replace(check, found=found)
