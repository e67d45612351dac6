"""The identity certificate: the shipped file against the plain network built and exported in a new process."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from hardedge.contracts import Certificate, Check, Complexity, EngineArms, Level0, Level1, Level2, Profile, Status
from hardedge.deploy.engines.build import rtx_digests
from hardedge.deploy.targets import RTX_TARGETS
from hardedge.errors import BadInput, Unavailable
from hardedge.export.graph.pixels_to_mask import read_form
from hardedge.export.identity.arms import CertificateArm, start_arm
from hardedge.graphs import files as onnx_files
from hardedge.graphs.canonical import complexity_of, onnx_digest
from hardedge.paths import StrPath, local_paths

REBUILDS = 7
NOT_MEASURED = Level2(status="not run here", detail="measured by deploy", noise_floor=None, control=None, shipped=None)


def certify(
    model_onnx: StrPath, checkpoint: StrPath, *, targets: Sequence[str] = RTX_TARGETS, allow_code: bool = False
) -> Certificate:
    """Levels 0 and 1 for a shipped file, read from disk, and a checkpoint's plain network, exported anew.

    Raises BadInput when the file was not written by hardedge or the checkpoint cannot be used, as one whose network is
    somebody's own code cannot unless `allow_code`.
    """
    model_onnx, checkpoint = local_paths((model_onnx, checkpoint))
    shipped = read_certified_onnx(model_onnx)
    arm = CertificateArm(
        kind="plain",
        checkpoint=str(checkpoint),
        form=read_form(shipped, str(model_onnx)),
        allow_code=allow_code,
    )
    with start_arm(arm) as plain:
        return compare_files(model_onnx, plain(), arm.form.profiles[0], targets)


def compare_files(shipped: Path, plain: Path, profile: Profile, targets: Sequence[str] = RTX_TARGETS) -> Certificate:
    """Levels 0 and 1 for two ONNX files; TensorRT-RTX builds both for every target, and keeps only the digests."""
    ours, theirs = read_certified_onnx(shipped), read_certified_onnx(plain)
    digests = onnx_digest(ours), onnx_digest(theirs)
    engines, rtx_engines = compare_engines(shipped, plain, profile, targets)
    return Certificate(
        level0=Level0(
            status=_status(digests[0] == digests[1]),
            detail="the canonical digests are equal" if digests[0] == digests[1] else "the canonical digests differ",
            shipped_digest=digests[0],
            plain_digest=digests[1],
            rtx_engines=rtx_engines,
            engines=engines,
        ),
        level1=compare_complexity(complexity_of(ours, profile.opt), complexity_of(theirs, profile.opt)),
        level2=NOT_MEASURED,
    )


def compare_engines(
    shipped: Path, plain: Path, profile: Profile, targets: Sequence[str]
) -> tuple[tuple[EngineArms, ...], Check]:
    """The TensorRT-RTX engines of both files by target, and whether they are equal byte for byte.

    They are built for the profile's typical size alone: under a range of sizes the builder numbers its shape
    arithmetic anew in every build, even of one file. For some graphs it gives one of a few engines even so: where the
    files' engines differ, both are built again, until one engine came out of both, or REBUILDS times.
    """
    if not targets:
        return (), Check(status="not run here", detail="no target was asked for")
    size = Profile(min=profile.opt, opt=profile.opt, max=profile.opt)
    digests = partial(rtx_digests, profiles=[size])
    try:
        with ThreadPoolExecutor(2) as both:
            found, expected = both.map(partial(digests, targets=targets), (shipped, plain))
    except Unavailable as error:
        return (), Check(status="not run here", detail=str(error))
    except BadInput as error:
        return (), Check(status="inconclusive", detail=f"no engines to compare: {error}")
    engines = {target: ({found[target]}, {expected[target]}) for target in targets}
    for _ in range(REBUILDS):
        apart = [target for target, (ours, theirs) in engines.items() if not ours & theirs]
        if not apart:
            break
        for side, file in enumerate((shipped, plain)):
            for target, digest in digests(file, targets=apart).items():
                engines[target][side].add(digest)
    shape = "x".join(map(str, profile.opt))
    return tuple(_arms(target, *both) for target, both in engines.items()), _engines_check(engines, shape)


def _arms(target: str, ours: set[str], theirs: set[str]) -> EngineArms:
    common = sorted(ours & theirs)
    return EngineArms(target=target, shipped=(common or sorted(ours))[0], plain=(common or sorted(theirs))[0])


def _engines_check(engines: Mapping[str, tuple[set[str], set[str]]], shape: str) -> Check:
    """What the engines' digests say: all that was built of the shipped and of the plain file, by target."""
    apart = [target for target, (ours, theirs) in engines.items() if not ours & theirs]
    chance = [target for target, (ours, theirs) in engines.items() if len(ours) > 1 or len(theirs) > 1]
    steady = [target for target in apart if target not in chance]
    if steady:
        return Check(status="different", detail=f"the engines differ for {', '.join(steady)} at {shape}")
    if apart:
        told = f"the builder gives other bytes from build to build of one file for {', '.join(apart)} at {shape}"
        return Check(status="inconclusive", detail=f"{told}; {1 + REBUILDS} builds of each had none in common")
    told = f"; for {', '.join(chance)} among several builds, as one file gives more than one engine" if chance else ""
    return Check(status="identical", detail=f"equal byte for byte for {len(engines)} targets at {shape}{told}")


def compare_complexity(shipped: Complexity, plain: Complexity) -> Level1:
    """Level 1: equal parameters, multiply-adds, nodes, operators, inputs and outputs."""
    differing = [
        f"{name.replace('_', '-')} {getattr(shipped, name)}, plain {getattr(plain, name)}"
        for name in ("parameters", "multiply_adds", "nodes", "operators", "inputs", "outputs")
        if getattr(shipped, name) != getattr(plain, name)
    ]
    detail = "; ".join(differing) or "parameters, multiply-adds, nodes, operators, inputs and outputs are equal"
    return Level1(status=_status(not differing), detail=detail, shipped=shipped, plain=plain)


def read_certified_onnx(path: Path) -> onnx.ModelProto:
    """An ONNX file that passes onnx's checker; raises BadInput when it cannot be read or is not valid."""
    if not path.is_file():
        raise BadInput(f"{path} is no file. Give the path of an ONNX file.")
    try:
        model = onnx_files.read_onnx(path)
        onnx.checker.check_model(str(path) if onnx_files.is_large(model) else model)
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as error:
        raise BadInput(f"{path} is not a valid ONNX file: {error}. Export it again.") from error
    return model


def _status(equal: bool) -> Status:
    return "identical" if equal else "different"
