"""The model card: what the network is for, how good it is, where its limits are; blanks are said to be blanks."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hardedge.contracts import Bundle, Dossier, Latency, Report
from hardedge.deploy.dossier.claims import relative_miou
from hardedge.deploy.dossier.document import Part, Table, parts_markdown

BLANK = "To be filled in by the owner."


def card_parts(dossier: Dossier, reports: Sequence[Report], bundle: Bundle | None) -> list[Part]:
    """The sections of the card, from the reports and, where it was given, the bundle."""
    first = reports[0]
    return [
        Part("Intended use", (dossier.intended_use or BLANK,)),
        Part("Owner", (dossier.owner or BLANK,)),
        _network_part(first, bundle),
        Part("Data", (f"Test images: {first.data}.", f"Licence, collection, consent and known gaps: {BLANK}")),
        _metrics_part(first),
        _engines_part(reports),
        _limits_part(reports),
        Part("Licence of the weights", (BLANK,)),
    ]


def card_markdown(dossier: Dossier, reports: Sequence[Report], bundle: Bundle | None) -> str:
    """The card with the metadata that Hugging Face reads from a model's README."""
    first = reports[0]
    score = {"type": "mean_iou", "value": round(first.metrics.miou, 2), "name": "mIoU"}
    task = {"type": "image-segmentation"}
    result = {"task": task, "dataset": {"type": "custom", "name": first.data}, "metrics": [score]}
    # JSON is YAML, and quotes what needs it
    metadata = {
        "pipeline_tag": "image-segmentation",
        "library_name": "onnx",
        "tags": ["semantic-segmentation", "hardedge"],
        "model-index": [{"name": first.network.name, "results": [result]}],
    }
    head = "\n".join(f"{key}: {json.dumps(value)}" for key, value in metadata.items())
    title = f"# {first.network.name} on {first.data}"
    body = parts_markdown(card_parts(dossier, reports, bundle))
    return f"---\n{head}\n---\n{title}\n\nFrom the reports of hardedge {dossier.hardedge}, {dossier.created}.\n\n{body}"


def _network_part(report: Report, bundle: Bundle | None) -> Part:
    level1 = report.certificate.level1.shipped
    branches = ", ".join(report.branches) or "none"
    left = report.certificate.level0.status
    text = (
        f"{report.network.name}, {level1.parameters:,} parameters, trained with {report.loss}.",
        f"Training-only branches: {branches}. Shipped and plain network: {left}.",
    )
    if bundle is None:
        return Part("Network", (*text, "Calibration: the bundle was not given (--bundle)."))
    found = bundle.calibration
    calibrated = f"{len(found.images)} training images, chosen by {found.by}" if found else "none: no quantised file"
    return Part("Network", (*text, f"Calibration: {calibrated}."))


def _metrics_part(report: Report) -> Part:
    rows = tuple(
        (name, "not in the labels" if iou is None else f"{iou:.2f} %") for name, iou in report.metrics.per_class.items()
    )
    miou = f"mIoU of the trained network on the test images: {report.metrics.miou:.2f} %."
    return Part("Accuracy", (miou,), (Table("IoU by class", ("class", "IoU"), rows),))


def _engines_part(reports: Sequence[Report]) -> Part:
    parity = [
        (f"{run.target} {run.precision}", f"{run.miou:.2f} %", relative_miou(run), f"{run.status}")
        for report in reports
        for run in report.parity
    ]
    latency = [
        (
            f"{each.target} {each.precision}",
            *(f"{value:.2f} ms" for value in (each.p50, each.p90, each.p99)),
            tail(each),
        )
        for report in reports
        for each in report.latency
    ]
    rebuilt = [
        (
            f"{each.target} {each.precision}",
            f"{each.builder} {each.builder_version}",
            rebuild_command(each.target, each.precision),
        )
        for report in reports
        for each in report.engines
    ]
    return Part(
        "Engines",
        (),
        (
            Table("Accuracy of each engine that ran", ("engine", "mIoU", "of the reference", "status"), tuple(parity)),
            Table("Latency, batch 1", ("engine", "p50", "p90", "p99", "p99.9"), tuple(latency)),
            Table("How each is built again", ("engine", "built by", "command"), tuple(rebuilt)),
        ),
    )


def tail(found: Latency) -> str:
    """The 99.9th percentile, or why there is none."""
    return f"not supported by {found.runs} runs" if found.p999 is None else f"{found.p999:.2f} ms"


def rebuild_command(target: str, precision: str) -> str:
    return f"hardedge deploy BUNDLE --data DATA --out OUT --target {target} --precision {precision}"


def _limits_part(reports: Sequence[Report]) -> Part:
    unrun = [
        f"{each.target} {each.precision}: built, not run"
        for report in reports
        for each in report.engines
        if each.not_run
    ]
    unseen = [
        f"{run.target} {run.precision}: what no test image shows can be in {run.unseen:.1f} % of such images"
        for report in reports
        for run in report.parity
        if run.unseen is not None
    ]
    warned = [warning for report in reports for warning in report.warnings or ()]
    return Part("Limits", tuple([*unrun, *unseen, *warned] or ["None recorded."]))
