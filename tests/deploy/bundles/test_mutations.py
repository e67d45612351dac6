"""A failing bundle, changed in thousands of ways and sealed anew: refused, or its verdict is no better than before."""

import copy
import dataclasses
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from hardedge.contracts import Bundle, Engine, parse_json, seal
from hardedge.deploy.engines.build import build
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import HardedgeError

COLORS = np.array([(70, 130, 180), (128, 64, 128), (0, 0, 142)])
LIMITS = Gates(max_miou_drop=0.1, max_unseen=40.0, max_overhead=0.0, require="level0")
Leaf = tuple[str | int, ...]


def another_weight(bundle: Path, _: Callable[..., onnx.ModelProto]) -> None:
    """The masks stay as they are; the network is not the certified one."""
    model = onnx.load(bundle / "model.onnx")
    values = np.frombuffer(model.graph.initializer[0].raw_data, np.float32).copy()
    values[0] = np.nextafter(values[0], np.inf)
    model.graph.initializer[0].raw_data = values.tobytes()
    onnx.save(model, bundle / "model.onnx")


def worse_masks(bundle: Path, color_model: Callable[..., onnx.ModelProto]) -> None:
    """A network that loses mIoU."""
    onnx.save(color_model(COLORS, shift=4e4), bundle / "model.onnx")


@pytest.fixture(params=[another_weight, worse_masks])
def failing(
    request: pytest.FixtureRequest, own_bundle: Path, tmp_path: Path, color_model: Callable[..., onnx.ModelProto]
) -> Path:
    """A folder with bundle/ and engine/ that verify fails."""
    request.param(own_bundle, color_model)
    resealed(own_bundle, Bundle)
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine")
    return tmp_path


def leaves(value: object, path: Leaf = ()) -> Iterator[Leaf]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from leaves(child, (*path, key))


def at(document: Any, path: Leaf) -> Any:
    for key in path:
        document = document[key]
    return document


def changed_value(value: Any, other: Any, rng: np.random.Generator) -> Any:
    """Zero, a neighbour's value, something out of range, or a list with an entry twice, one fewer, or in reverse."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return [0, -value, value + 1, 1e300, math.nan, 10**400, other][rng.integers(7)]
    if isinstance(value, str):
        return ["", value[::-1], f"{value}/../x", other][rng.integers(4)]
    if isinstance(value, list) and value:
        return [[], value[:-1], [*value, value[0]], value[::-1]][rng.integers(4)]
    return other


def change_a_field(folder: Path, rng: np.random.Generator) -> str:
    name = ("bundle/bundle.json", "bundle/certificate.json", "engine/engine.json")[rng.integers(3)]
    document = json.loads((folder / name).read_text())
    paths = [path for path in leaves(document) if path]
    place, source = (paths[rng.integers(len(paths))] for _ in range(2))
    holder = at(document, place[:-1])
    holder[place[-1]] = changed_value(holder[place[-1]], copy.deepcopy(at(document, source)), rng)
    (folder / name).write_text(json.dumps(document, indent=1) + "\n")
    return f"{name} {place}"


def change_a_file(folder: Path, rng: np.random.Generator) -> str:
    files = sorted(path for path in folder.glob("bundle/**/*") if path.is_file() and path.name != Bundle.FILE)
    files += sorted((folder / "engine").glob("*.onnx"))
    one, other = (files[rng.integers(len(files))] for _ in range(2))
    first, second = one.read_bytes(), other.read_bytes()
    kind = ("swapped with", "replaced by", "zeroed, not", "renamed, not", "cut, not")[rng.integers(5)]
    if kind == "swapped with":
        one.write_bytes(second)
        other.write_bytes(first)
    elif kind == "replaced by":
        one.write_bytes(second)
    elif kind == "zeroed, not":
        one.write_bytes(bytes(len(first)))
    elif kind == "renamed, not":
        one.rename(one.with_name(f"x{one.name}"))
    else:
        one.write_bytes(first[: len(first) // 2])
    return f"{one.relative_to(folder)} {kind} {other.relative_to(folder)}"


def resealed(directory: Path, kind: type[Bundle] | type[Engine], **changes: Any) -> None:
    manifest = parse_json(kind, (directory / kind.FILE).read_bytes(), kind.FILE)
    seal(directory, dataclasses.replace(manifest, **changes))  # type: ignore[type-var]


def verdict_of(folder: Path, data: Path) -> str:
    """The verdict after everything was sealed anew, or `refused`."""
    try:
        resealed(folder / "bundle", Bundle)
        digest = json.loads((folder / "bundle/bundle.json").read_text())["digest"]
        resealed(folder / "engine", Engine, made_from=digest)
        out = folder / "report"
        report = verify(folder / "bundle", [folder / "engine"], data, out, gates=LIMITS, latency_seconds=0, force=True)
    except HardedgeError:
        return "refused"
    return report.verdict


@pytest.mark.parametrize("tries", [25, pytest.param(2500, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_no_change_makes_a_failing_bundle_pass(tries: int, failing: Path, shared_data: Path) -> None:
    """Half of the tries change a field, half a file; every tenth changes three things at once, fields first."""
    assert verdict_of(failing, shared_data) == "fail"
    rng, seen = np.random.default_rng(7), Counter[str]()
    scratch = failing / "scratch"
    for number in range(tries):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        for name in ("bundle", "engine"):
            shutil.copytree(failing / name, scratch / name)
        in_fields = rng.binomial(count := 3 if number % 10 == 9 else 1, 0.5)
        changes = [change_a_field(scratch, rng) for _ in range(in_fields)]
        changes += [change_a_file(scratch, rng) for _ in range(count - in_fields)]
        verdict = verdict_of(scratch, shared_data)
        assert verdict != "pass", changes
        seen[verdict] += 1
    assert seen["refused"] > tries / 4
