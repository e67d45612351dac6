"""The identity certificate: the shipped file against the plain network built and exported in a new process."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from hardedge.canonical import census, onnx_digest
from hardedge.contracts import Census, Certificate, Check, EngineArms, Level0, Level1, Level2, Profile, Status
from hardedge.deploy.engines import rtx_digests
from hardedge.deploy.targets import RTX_CAPABILITIES
from hardedge.errors import BadInput, MissingHere
from hardedge.export.arms import Arm, started
from hardedge.export.graph import form_in

RTX_TARGETS = tuple(f"tensorrt-rtx:{capability}" for capability in RTX_CAPABILITIES)
NOT_MEASURED = Level2(status="not run here", detail="measured by deploy", noise_floor=None, control=None, shipped=None)


def certify(model_onnx: Path, checkpoint: Path, *, targets: Sequence[str] = RTX_TARGETS) -> Certificate:
    """Levels 0 and 1 for a shipped file, read from disk, and a checkpoint's plain network, exported anew.

    Raises BadInput when the file was not written by hardedge or the checkpoint cannot be used.
    """
    shipped = read_onnx(model_onnx)
    arm = Arm(
        kind="plain",
        checkpoint=str(checkpoint),
        form=form_in(shipped, str(model_onnx)),
    )
    with started(arm) as plain:
        return compare(model_onnx, plain(), arm.form.profiles[0], targets)


def compare(shipped: Path, plain: Path, profile: Profile, targets: Sequence[str] = RTX_TARGETS) -> Certificate:
    """Levels 0 and 1 for two ONNX files; TensorRT-RTX builds both for every target, and keeps only the digests."""
    ours, theirs = read_onnx(shipped), read_onnx(plain)
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
        level1=compare_censuses(census(ours, profile.opt), census(theirs, profile.opt)),
        level2=NOT_MEASURED,
    )


def compare_engines(
    shipped: Path, plain: Path, profile: Profile, targets: Sequence[str]
) -> tuple[tuple[EngineArms, ...], Check]:
    """The TensorRT-RTX engines of both files by target, and whether they are equal byte for byte.

    They are built for the profile's typical size alone: under a range of sizes the builder numbers its shape
    arithmetic anew in every build, even of one file.
    """
    if not targets:
        return (), Check(status="not run here", detail="no target was asked for")
    size = Profile(min=profile.opt, opt=profile.opt, max=profile.opt)
    digests = partial(rtx_digests, targets=targets, profiles=[size])
    try:
        with ThreadPoolExecutor(2) as both:
            found, expected = both.map(digests, (shipped, plain))
    except MissingHere as error:
        return (), Check(status="not run here", detail=str(error))
    except BadInput as error:
        return (), Check(status="inconclusive", detail=f"no engines to compare: {error}")
    arms = tuple(EngineArms(target=target, shipped=found[target], plain=expected[target]) for target in targets)
    differing = [arm.target for arm in arms if arm.shipped != arm.plain]
    shape = "x".join(map(str, profile.opt))
    if differing:
        return arms, Check(status="different", detail=f"the engines differ for {', '.join(differing)} at {shape}")
    return arms, Check(status="identical", detail=f"equal byte for byte for {len(arms)} targets at {shape}")


def compare_censuses(shipped: Census, plain: Census) -> Level1:
    """Level 1: equal parameters, multiply-adds, nodes, operators, inputs and outputs."""
    differing = [
        f"{name.replace('_', '-')} {getattr(shipped, name)}, plain {getattr(plain, name)}"
        for name in ("parameters", "multiply_adds", "nodes", "operators", "inputs", "outputs")
        if getattr(shipped, name) != getattr(plain, name)
    ]
    detail = "; ".join(differing) or "parameters, multiply-adds, nodes, operators, inputs and outputs are equal"
    return Level1(status=_status(not differing), detail=detail, shipped=shipped, plain=plain)


def read_onnx(path: Path) -> onnx.ModelProto:
    """An ONNX file that passes onnx's checker; raises BadInput when it cannot be read or is not valid."""
    if not path.is_file():
        raise BadInput(f"{path} is no file. Give the path of an ONNX file.")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        raise BadInput(f"{path} is not a valid ONNX file: {error}. Export it again.") from error
    return model


def _status(equal: bool) -> Status:
    return "identical" if equal else "different"
