"""Engines built otherwise, and engines that must be refused."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from hardedge.contracts import AcceptanceCheck, BuildOptions, Engine, parse_json, seal
from hardedge.deploy.acceptance.parts import Found, Subject
from hardedge.deploy.backends.build_cache import BuildCache
from hardedge.deploy.backends.request import BuildRequest
from hardedge.deploy.engines.build import build
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.targets import backend_of
from hardedge.errors import BadInput, HardedgeError, Unavailable, first_line

OTHER_VERSION = "1.0.0.1"


def run_variant_parts(subject: Subject) -> list[AcceptanceCheck]:
    """What other builds of the engine are asked, and what is no engine of this machine."""
    parts: dict[str, Callable[[Subject], Found]] = {
        "refit": lambda each: match_variant(each, BuildOptions(strip_weights=True)),
        "version-compatible plan": lambda each: match_variant(each, BuildOptions(version_compatible=True)),
        "timing cache": find_kept_build,
        "runtime cache": load_kept_kernels,
        "wrong engine": refuse_wrong_engines,
    }
    return [subject.check(part, run(subject)) for part, run in parts.items()]


def match_variant(subject: Subject, options: BuildOptions) -> Found:
    """A build with these options, against the engine's own masks."""
    if not backend_of(subject.engine.target).takes_options:
        return "not run", "only TensorRT builds with such options"
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        path, request = Path(folder) / "engine", BuildRequest(options)
        try:
            _build(subject, path, request)
            with closing(open_runner(path)) as other, closing(open_runner(subject.directory)) as own:
                images = [image_HWC[None] for image_HWC in subject.images]
                shares = [float(np.mean(other.masks(image) == own.masks(image))) for image in images]
        except BadInput as error:
            return "not run", reason_of(error)
        except Unavailable as error:
            return "fail", reason_of(error)
    # builds of one network differ in their kernels, and so in their rounding
    return "pass" if min(shares) >= 0.999 else "fail", f"{min(shares):.3%} of the pixels equal those of the plain build"


def find_kept_build(subject: Subject) -> Found:
    """Two builds with one cache: the second is the first's bytes, and takes no builder."""
    if not backend_of(subject.engine.target).takes_options:
        return "not run", "this runtime compiles the file whenever it is loaded"
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        request, seconds, plans = BuildRequest(cache=BuildCache(Path(folder) / "cache")), [], []
        for number in range(2):
            began = time.perf_counter()
            engine = _build(subject, Path(folder) / str(number), request)
            seconds.append(time.perf_counter() - began)
            plans.append(engine.files[engine.plan])
    holds = plans[0] == plans[1] and seconds[1] < seconds[0]
    return "pass" if holds else "fail", f"{seconds[0]:.1f} s, then {seconds[1]:.1f} s for the same plan"


def load_kept_kernels(subject: Subject) -> Found:
    """What a first load leaves beside the engine, and that a second one takes it."""
    from hardedge.deploy.tensorrt.runtime_cache import CACHE, read_kept

    if not subject.engine.target.startswith("tensorrt-rtx"):
        return "not run", "only TensorRT-RTX compiles kernels at run time"
    image_BHWC, seconds = subject.images[0][None], []
    (subject.directory / CACHE).unlink(missing_ok=True)
    for _ in range(2):
        began = time.perf_counter()
        with closing(open_runner(subject.directory)) as runner:
            runner.masks(image_BHWC)
            seconds.append(time.perf_counter() - began)
    if read_kept(subject.directory, subject.engine) is None:
        return "fail", "no cache was kept"
    return "pass", f"first mask after {seconds[0]:.2f} s, with the kept kernels after {seconds[1]:.2f} s"


def refuse_wrong_engines(subject: Subject) -> Found:
    """An altered file for every runtime; another version and another device where engines are plans."""
    faults = [fault for fault in (_altered(subject), *_foreign(subject)) if fault]
    count = 1 + 2 * backend_of(subject.engine.target).takes_options
    return ("fail", "; ".join(faults)) if faults else ("pass", f"{count} of {count} refused, each with its reason")


def _altered(subject: Subject) -> str | None:
    def alter(path: Path, engine: Engine) -> None:
        content = bytearray((path / engine.plan).read_bytes())
        content[len(content) // 2] ^= 1
        (path / engine.plan).write_bytes(content)

    return _refused(subject, alter, BadInput, engine_text=subject.engine.plan)


def _foreign(subject: Subject) -> list[str | None]:
    if not backend_of(subject.engine.target).takes_options:
        return []

    def age(path: Path, engine: Engine) -> None:
        seal(path, dataclasses.replace(engine, builder_version=OTHER_VERSION))

    def move(path: Path, engine: Engine) -> None:
        other = "tensorrt-rtx:sm75" if engine.target != "tensorrt-rtx:sm75" else "tensorrt-rtx:sm89"
        seal(path, dataclasses.replace(engine, target=other))

    device = "was built ahead of time for" if subject.engine.target.startswith("tensorrt-rtx") else "sm75"
    return [
        _refused(subject, age, Unavailable, engine_text=OTHER_VERSION),
        _refused(subject, move, (Unavailable, BadInput), engine_text=device),
    ]


def _refused(
    subject: Subject,
    change: Callable[[Path, Engine], None],
    kind: type[HardedgeError] | tuple[type[HardedgeError], ...],
    *,
    engine_text: str,
) -> str | None:
    """What went wrong with refusing a copy of the engine that was changed; None where it was refused by its reason."""
    with tempfile.TemporaryDirectory(prefix="hardedge-") as folder:
        path = Path(folder) / "engine"
        shutil.copytree(subject.directory, path)
        change(path, parse_json(Engine, (path / Engine.FILE).read_bytes(), Engine.FILE))
        try:
            open_runner(path).close()
        except kind as error:
            return None if engine_text in str(error) else f"refused, but not with {engine_text}: {reason_of(error)}"
        except HardedgeError as error:
            return f"refused for another reason: {reason_of(error)}"
    return f"not refused: {engine_text}"


def reason_of(error: HardedgeError) -> str:
    """The first line of an error, and the last of several: what a builder said."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return first_line(error) if len(lines) < 3 else f"{lines[0]} {lines[1]}"


def _build(subject: Subject, path: Path, request: BuildRequest) -> Engine:
    engine = subject.engine
    return build(subject.bundle.directory, engine.target, path, precision=engine.precision, request=request)
