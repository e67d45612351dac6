"""Gates: the limits that a user asks for, and the verdict over everything."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

from hardedge.contracts import (
    Certificate,
    Consistency,
    EngineSummary,
    Gate,
    Latency,
    Overhead,
    Parity,
    PrecisionAudit,
    Verdict,
)
from hardedge.deploy.latency.dominated import Candidate, candidates_of_report, find_dominated, undecided
from hardedge.deploy.parity.batch_slots import LEAST_AGREEMENT
from hardedge.deploy.parity.image_sizes import LEAST_CLEAR
from hardedge.deploy.verification.class_drops import class_drop_gates
from hardedge.deploy.verification.drop_gates import miou_gates, relative_miou_gates, relative_text
from hardedge.deploy.verification.limits import KNOWN, Require, limit_faults, parse_required_share
from hardedge.deploy.verification.minimums import minimum_gates
from hardedge.errors import BadInput, faults_error
from hardedge.precisions import EXPORTED, precision_named
from hardedge.statistics.signed import signed_text, span_text
from hardedge.statistics.unseen import MAX_UNSEEN

FORBIDDEN: Final = "no engine of lower precision is neither smaller nor faster than a better one"


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Limits: mIoU drop in points, latency overhead in percent, the certificate's level that must be identical.

    `max_class_drop` is the drop of every labelled class's IoU, in points; `min_miou`, `min_class_iou` (of the lowest
    labelled class) and `min_pixel_agreement` (with the reference's masks)
    are percent on the test images.

    `built_only` leaves engines that did not run here out of the gates that need a run. `max_unseen` is the most percent
    of such images that may be of a kind that no test image is (10 without it). `forbid_dominated` fails for an engine
    of lower precision that is neither smaller nor faster than a better one. `require_precision` is a precision
    with its least share of the multiply-adds, `int8>=0.9`. `min_relative_miou` is the least ratio of an engine's mIoU
    to the reference's, 0..1. `requirements` are the user's IDs by gate, without dashes in front. Raises BadInput for
    other text and for no finite number.
    """

    max_miou_drop: float | None = None
    max_class_drop: float | None = None
    built_only: bool | None = None
    max_unseen: float | None = None
    max_overhead: float | None = None
    min_miou: float | None = None
    min_class_iou: float | None = None
    min_pixel_agreement: float | None = None
    require: Require | None = None
    require_precision: str | None = None
    forbid_dominated: bool | None = None
    min_relative_miou: float | None = None
    requirements: dict[str, str] | None = None

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        faults = limit_faults({name.replace("_", "-"): value for name, value in given.items() if value is not None})
        if faults:
            raise faults_error("these gates cannot be used", faults, "Give values that the options take.")

    @property
    def unseen(self) -> float:
        """The limit of what stays unseen, in percent."""
        return MAX_UNSEEN if self.max_unseen is None else self.max_unseen

    def over(self, other: "Gates") -> "Gates":
        """These limits, and the other's where there is none here."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(other, **{name: value for name, value in given.items() if value is not None})


NO_LIMITS: Final = Gates()


def read_gates(path: Path) -> Gates:
    """The limits of a gates.toml, named as the options are (`max-miou-drop = 0.1`).

    Raises BadInput, all faults together, for an unknown name and for a value that the option would not take.
    """
    import sys

    if sys.version_info >= (3, 11):
        import tomllib  # novm
    else:
        import tomli as tomllib
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}). Give the file with the gates.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not TOML: {error}. Write a line a gate, such as max-miou-drop = 0.1") from None
    if faults := limit_faults(found):
        raise faults_error(f"{path} has gates that cannot be read", faults, f"Known: {', '.join(KNOWN)}.")
    return Gates(**{name.replace("-", "_"): value for name, value in found.items()})


def judge_gates(
    gates: Gates,
    certificate: Certificate,
    parity: Sequence[Parity],
    overhead: Overhead,
    audits: Sequence[PrecisionAudit] = (),
    engines: Sequence[EngineSummary] = (),
    latency: Sequence[Latency] = (),
) -> tuple[Gate, ...]:
    """Every gate that was asked for, judged for every engine by the bounds of what was measured."""
    ids = {f"--{name}": id for name, id in (gates.requirements or {}).items()}
    judged = _judged(gates, certificate, parity, overhead, audits, engines, latency)
    return tuple(replace(gate, requirement=ids.get(gate.name)) for gate in judged)


def _judged(
    gates: Gates,
    certificate: Certificate,
    parity: Sequence[Parity],
    overhead: Overhead,
    audits: Sequence[PrecisionAudit],
    engines: Sequence[EngineSummary],
    latency: Sequence[Latency],
) -> list[Gate]:
    judged = _accuracy_gates(gates, parity, engines)
    if gates.max_overhead is not None:
        judged.append(overhead_gate(gates.max_overhead, certificate, overhead))
        judged += origin_gates("--max-overhead", f"at most {gates.max_overhead:g} %", engines)
    if gates.require is not None:
        judged.append(identity_gate(gates.require, certificate))
        judged += origin_gates("--require", gates.require, engines)
    if gates.require_precision is not None:
        judged += precision_gates(gates.require_precision, audits)
    if gates.forbid_dominated:
        judged += dominated_gates(candidates_of_report(parity, latency, engines))
        if not gates.built_only:
            judged += not_run_gates("--forbid-dominated", FORBIDDEN, engines)
    return judged


def _accuracy_gates(gates: Gates, parity: Sequence[Parity], engines: Sequence[EngineSummary]) -> list[Gate]:
    judged: list[Gate] = []
    if gates.max_miou_drop is not None:
        judged += miou_gates(gates.max_miou_drop, parity, gates.unseen)
        if not gates.built_only:
            judged += not_run_gates("--max-miou-drop", f"at most {gates.max_miou_drop:g} points", engines)
    if gates.max_class_drop is not None:
        judged += class_drop_gates(gates.max_class_drop, parity, gates.unseen)
        if not gates.built_only:
            judged += not_run_gates("--max-class-drop", f"at most {gates.max_class_drop:g} points", engines)
    if gates.min_relative_miou is not None:
        judged += relative_miou_gates(gates.min_relative_miou, parity, gates.unseen)
        if not gates.built_only:
            judged += not_run_gates("--min-relative-miou", relative_text(gates.min_relative_miou), engines)
    for name, limit, judge in minimum_gates(gates.min_miou, gates.min_class_iou, gates.min_pixel_agreement):
        judged += judge(parity)
        if not gates.built_only:
            judged += not_run_gates(name, limit, engines)
    return judged


def dominated_gates(candidates: Sequence[Candidate]) -> list[Gate]:
    """A failed gate for each dominated engine; undecided where the times do not tell, or nothing was timed."""
    dominated = find_dominated(candidates).values()
    found: list[tuple[str, Verdict]] = [(said, "fail") for said in dominated]
    found += [(said, "inconclusive") for said in undecided(candidates)]
    if not candidates:
        found = [("not measured: no engine was run on the test images and timed (--latency)", "inconclusive")]
    found = found or [(f"none of {len(candidates)} engines is", "pass")]
    return [Gate(name="--forbid-dominated", limit=FORBIDDEN, found=said, status=status) for said, status in found]


def not_run_gates(name: str, limit: str, engines: Sequence[EngineSummary]) -> list[Gate]:
    """An undecided gate for each engine that did not run here: a limit that nobody measured is not one that holds."""
    return [
        Gate(
            name=name,
            limit=limit,
            found=f"{engine.target} {engine.precision}: not run here: {engine.not_run} (--built-only leaves it out)",
            status="inconclusive",
        )
        for engine in engines
        if engine.not_run
    ]


def origin_gates(name: str, limit: str, engines: Sequence[EngineSummary]) -> list[Gate]:
    """A failed gate for each engine of unknown origin: the certificate is about the bundle's file, not about it."""
    return [
        Gate(
            name=name,
            limit=limit,
            found=f"{engine.target} {engine.precision}: of unknown origin: a plan does not tell its network. "
            "Build it in the same command (hardedge deploy), or sign bundle and engine and give --trust",
            status="fail",
        )
        for engine in engines
        if engine.origin == "unknown"
    ]


def precision_gates(text: str, audits: Sequence[PrecisionAudit]) -> list[Gate]:
    """One gate for each engine that was asked for in this precision: its share of the multiply-adds."""
    precision, least = parse_required_share(text)
    counted = precision_named(precision).counted_as
    asked = [audit for audit in audits if audit.precision == precision or audit.precision not in EXPORTED]
    if not asked:
        found = f"no {precision} engine was audited"
        return [Gate(name="--require-precision", limit=text, found=found, status="inconclusive")]
    gates = []
    for audit in asked:
        share = audit.multiply_adds.get(counted, 0.0)
        others = ", ".join(f"{name} {part:.1%}" for name, part in audit.multiply_adds.items() if name != counted)
        status: Verdict = "pass" if share >= least else "fail"
        found = f"{audit.target}: {share:.1%} of the multiply-adds{f', {others}' if others else ''} ({audit.detail})"
        gates.append(Gate(name="--require-precision", limit=text, found=found, status=status))
    return gates


def overhead_gate(limit: float, certificate: Certificate, overhead: Overhead) -> Gate:
    """Level 0 identical satisfies it; else the ratio's interval must lie below 1 + limit."""
    name, said = "--max-overhead", f"at most {limit:g} %"
    if certificate.level0.status == "identical":
        return Gate(name=name, limit=said, found="none: implied by level 0, the same bytes", status="pass")
    if overhead.ratio is None or overhead.interval is None:
        return Gate(name=name, limit=said, found=f"not measured: {overhead.detail}", status="inconclusive")
    low, high = (100 * (end - 1) for end in (overhead.interval.low, overhead.interval.high))
    status: Verdict = "pass" if high <= limit else "fail" if low > limit else "inconclusive"
    found = f"{signed_text(100 * (overhead.ratio - 1), 2)} %, 90 % interval {span_text(low, high, 2)}"
    return Gate(name=name, limit=said, found=found, status=status)


def identity_gate(require: Require, certificate: Certificate) -> Gate:
    """Equal ONNX digests; for level0-engines equal TensorRT-RTX engines too."""
    level0, engines = certificate.level0, certificate.level0.rtx_engines
    statuses = [level0.status] if require == "level0" else [level0.status, engines.status]
    found = f"ONNX {level0.status}" if require == "level0" else f"ONNX {level0.status}, engines {engines.status}"
    status: Verdict = "pass" if all(found == "identical" for found in statuses) else "inconclusive"
    if "different" in statuses:
        status = "fail"
    detail = level0.detail if require == "level0" or level0.status != "identical" else engines.detail
    return Gate(name="--require", limit=require, found=f"{found} ({detail})", status=status)


def consistency_gates(found: Sequence[Consistency]) -> list[Gate]:
    """Two gates an engine, asked for or not: one mask in every slot, and the network's masks at every size.

    What could not be compared at all is no gate: nothing was found to hold.
    """
    slots = f"at least {LEAST_AGREEMENT:.1%} of the pixels equal in every slot of every batch, the rest by rounding"
    sizes = f"at least {LEAST_CLEAR:.0%} of the clear pixels as model.onnx has them, at each size of the profiles"
    rows = [
        (each, *row)
        for each in found
        for row in (
            ("batches", slots, each.slots_detail, each.slots_status, each.masks),
            ("image sizes", sizes, each.sizes_detail, each.sizes_status, each.sizes),
        )
    ]
    return [
        Gate(name=name, limit=limit, found=f"{each.target} {each.precision}: {said}", status=status)
        for each, name, limit, said, status, compared in rows
        if compared or status == "fail"
    ]


def overall_verdict(
    certificate: Certificate, parity: Sequence[Parity], gates: Sequence[Gate], broken_off: Sequence[str] = ()
) -> Verdict:
    """`fail` when a gate or a parity fails or levels 0 or 1 differ, `inconclusive` when one was not decided.

    An engine that failed while it ran leaves it undecided. A network without a checkpoint has no levels 0 and 1:
    nothing is claimed of them, unless a gate asks.
    """
    levels = () if certificate.level0.plain_digest is None else (certificate.level0.status, certificate.level1.status)
    judged = [*(run.status for run in parity), *(gate.status for gate in gates)]
    if "fail" in judged or "different" in levels or certificate.level0.rtx_engines.status == "different":
        return "fail"
    undecided = broken_off or not parity or "inconclusive" in judged or any(status != "identical" for status in levels)
    return "inconclusive" if undecided else "pass"
