"""The identity certificate, checked again on the files that were shipped."""

from dataclasses import replace
from typing import TYPE_CHECKING

from hardedge.contracts import Bundle, Certificate, Check, Level0, Level1, read_json
from hardedge.contracts.certificate import NO_CHECKPOINT
from hardedge.deploy.bundles.loading import OpenBundle
from hardedge.deploy.bundles.validity import read_model
from hardedge.errors import BadInput

if TYPE_CHECKING:
    import onnx


def recertify(opened: OpenBundle) -> Certificate:
    """The bundle's certificate with levels 0 and 1 of the shipped file computed anew; level 2 as it was.

    A file whose digest is not the certified plain network's is `different`, whatever its manifest says. What the
    certificate states of the plain network cannot be computed here, where there is no torch, and is told as stated.
    """
    directory, bundle = opened.directory, opened.manifest
    issued = read_json(Certificate, directory / Certificate.FILE)
    model = read_model(directory / bundle.model("fp32").path)
    return replace(issued, level0=_level0(issued.level0, model, bundle), level1=_level1(issued.level1, model, bundle))


def _level0(issued: Level0, model: "onnx.ModelProto", bundle: Bundle) -> Level0:
    from hardedge.graphs.canonical import onnx_digest

    shipped = onnx_digest(model)
    if issued.plain_digest is None:
        return replace(issued, status="not run here", detail=NO_CHECKPOINT, shipped_digest=shipped)
    if shipped != issued.plain_digest:
        detail = f"the shipped file's digest is {shipped[:12]}..., the plain network's {issued.plain_digest[:12]}..."
        return _different(issued, shipped, detail)
    if bundle.model("fp32").onnx_digest != shipped or issued.shipped_digest != shipped:
        detail = "bundle.json or certificate.json names another digest than the shipped file's"
        return _different(issued, shipped, detail)
    detail = "the shipped file, digested again here, has the digest that this bundle states for the plain network"
    return replace(issued, status="identical", detail=detail, rtx_engines=_rtx_engines(issued))


def _rtx_engines(issued: Level0) -> Check:
    """What the list of engines says, whatever status stands beside it."""
    if not issued.engines:
        stated = issued.rtx_engines
        kept = stated if stated.status in ("not run here", "inconclusive") else None
        return kept or Check(status="not run here", detail="the certificate lists no engines")
    differing = [arms.target for arms in issued.engines if arms.shipped != arms.plain]
    if issued.rtx_engines.status == "inconclusive":
        return issued.rtx_engines
    if differing:
        return Check(status="different", detail=f"the engines listed for {', '.join(differing)} differ")
    count = len({arms.target for arms in issued.engines})
    told = (
        f"equal digests for {count} targets as issued at export, for this file's digest; hardedge certify builds anew"
    )
    return Check(status="identical", detail=told)


def _different(issued: Level0, shipped: str, detail: str) -> Level0:
    engines = Check(status="different", detail="the engines that were compared are not of this file")
    return replace(issued, status="different", detail=detail, shipped_digest=shipped, rtx_engines=engines)


def _level1(issued: Level1, model: "onnx.ModelProto", bundle: Bundle) -> Level1:
    from hardedge.graphs.canonical import complexity_of

    try:
        shipped = complexity_of(model, bundle.profile.opt)
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise BadInput(f"the bundle's ONNX file does not run ({error}). Export it again.") from None
    if issued.plain is None:
        return Level1(status="not run here", detail=NO_CHECKPOINT, shipped=shipped, plain=None)
    differing = [name for name in vars(shipped) if getattr(shipped, name) != getattr(issued.plain, name)]
    if differing:
        detail = f"the shipped file and the plain network differ in {', '.join(differing).replace('_', '-')}"
        return Level1(status="different", detail=detail, shipped=shipped, plain=issued.plain)
    detail = (
        "parameters, multiply-adds, nodes, operators, inputs and outputs, counted again here, are as stated for the "
        "plain network"
    )
    return Level1(status="identical", detail=detail, shipped=shipped, plain=issued.plain)
