"""The verify stage: every check on a bundle and its engines, and the report."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from hardedge.artefact import require_free, staged_directory
from hardedge.console import spinner
from hardedge.contracts import Certificate, EngineSummary, Report, seal, write_atomically
from hardedge.deploy.bundles.signing import Trust
from hardedge.deploy.latency.dominated import candidates_of_report, find_dominated
from hardedge.deploy.latency.overhead import certify_latency, overhead_of
from hardedge.deploy.latency.repeated_builds import RepeatedBuilds
from hardedge.deploy.parity.confusions import sparse_confusions
from hardedge.deploy.parity.image_counts import ImageCounts, write_counts
from hardedge.deploy.provenance import machine_facts
from hardedge.deploy.report.junit import report_junit
from hardedge.deploy.report.markdown import report_markdown
from hardedge.deploy.report.page_parts import PageParts
from hardedge.deploy.verification.gates import NO_LIMITS, Gates, consistency_gates, judge_gates, overall_verdict
from hardedge.deploy.verification.inputs import VerifyInputs, open_inputs
from hardedge.deploy.verification.recertify import recertify
from hardedge.deploy.verification.runs import Runs, run_all
from hardedge.deploy.verification.warnings import report_warnings
from hardedge.errors import Unavailable
from hardedge.metrics import hit_labelled_predicted, score_of
from hardedge.paths import StrPath, local_paths, optional_path
from hardedge.statistics.score_intervals import score_intervals
from hardedge.version import __version__

PARETO = "pareto.svg"  # of tune
LATENCY_SHARE = 0.2  # of the latency seconds for the engines, the rest for level 2


def verify(
    bundle: StrPath,
    engines: StrPath | Sequence[StrPath],
    data: StrPath | None,
    out: StrPath,
    *,
    gates: Gates = NO_LIMITS,
    latency_seconds: float = 15.0,
    trust: Trust | None = None,
    arms: RepeatedBuilds | None = None,
    built: Collection[str] = (),
    force: bool = False,
) -> Report:
    """Checks a bundle and its engines on this machine and writes the report to `out`.

    Without `data` only the golden images are replayed, each engine's as a gate, and no verdict is better than
    inconclusive. Engines for other devices are listed, not run. `arms` are builds that level 2 compares;
    `built` are digests of the engine manifests that this command wrote itself, of whose origin it is sure. Raises
    BadInput for altered or unrelated inputs.
    """
    bundle, out = local_paths((bundle, out))
    data = optional_path(data)
    engines = local_paths(engines)
    require_free(out, force, [bundle, *engines, *([data] if data else [])])
    inputs = open_inputs(bundle, engines, data, trust, built)
    with spinner("certificate"):
        certificate = recertify(inputs.bundle)
    runs = run_all(inputs, LATENCY_SHARE * latency_seconds, gates.unseen)
    seconds = (1 - LATENCY_SHARE) * latency_seconds
    with spinner("latency: noise floor and positive control", seconds):
        image_HWC = inputs.bundle.golden_image(inputs.bundle.manifest.golden[0])
        try:
            measured = certify_latency(inputs.bundle, certificate.level0, image_HWC, seconds, arms)
        except (Unavailable, MemoryError) as error:
            measured = replace(certificate.level2, status="not run here", detail=f"broken off: {error}")
            runs = replace(runs, broken_off=(*runs.broken_off, f"latency test: {error}"))
    report = _report(inputs, replace(certificate, level2=measured), runs, gates)
    reference_NC3 = hit_labelled_predicted(inputs.bundle.counts)
    counts = ImageCounts(
        inputs.bundle.manifest.reference.images,
        reference_NC3,
        runs.counts,
        sparse_confusions(inputs.bundle.counts),
        runs.confusions,
    )
    return _write(report, _page_parts(inputs, runs, counts), counts, out, force)


def _page_parts(inputs: VerifyInputs, runs: Runs, counts: ImageCounts) -> PageParts:
    plot = PARETO if PARETO in inputs.bundle.manifest.files else None
    return PageParts(
        samples=runs.samples,
        counts=counts,
        shots=runs.shots,
        training=inputs.bundle.training(),
        pareto=(inputs.bundle.directory / plot).read_bytes() if plot else None,
    )


def _report(inputs: VerifyInputs, certificate: Certificate, runs: Runs, gates: Gates) -> Report:
    bundle = inputs.bundle.manifest
    engines = tuple(_summary(inputs, directory, runs.not_run.get(directory)) for directory in inputs.engines)
    names = [info.name for info in bundle.task.classes]
    cost = overhead_of(certificate.level2)
    asked = judge_gates(gates, certificate, runs.parity, cost, runs.audits, engines, runs.latency)
    judged = (*asked, *runs.checked, *consistency_gates(runs.consistency))
    return Report(
        schema_id=Report.SCHEMA,
        hardedge=__version__,
        made_from=bundle.digest,
        files={},
        verdict=overall_verdict(certificate, runs.parity, judged, runs.broken_off),
        task=bundle.task,
        network=bundle.network,
        loss=bundle.loss,
        branches=bundle.branches,
        hardness=bundle.hardness,
        metrics=score_of(inputs.bundle.counts.sum(0), bundle.task),
        certificate=certificate,
        parity=runs.parity,
        overhead=cost,
        latency=runs.latency,
        engines=engines,
        audits=runs.audits,
        gates=judged,
        data=inputs.data.name if inputs.data else "test images not given",
        machine=machine_facts(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        broken_off=runs.broken_off,
        built_only=bool(gates.built_only),
        warnings=report_warnings(inputs.bundle.counts, bundle.task, runs.parity, runs.latency),
        consistency=runs.consistency,
        dominated=tuple(find_dominated(candidates_of_report(runs.parity, runs.latency, engines)).values()),
        intervals=score_intervals(hit_labelled_predicted(inputs.bundle.counts), names),
    )


def _summary(inputs: VerifyInputs, directory: Path, not_run: str | None) -> EngineSummary:
    engine = inputs.engines[directory]
    return EngineSummary(
        target=engine.target,
        precision=engine.precision,
        builder=engine.builder,
        builder_version=engine.builder_version,
        bytes=(directory / engine.plan).stat().st_size,
        sha256=engine.files[engine.plan],
        seconds=engine.seconds,
        healed=engine.healed,
        origin=inputs.origins[directory],
        not_run=not_run,
    )


def _write(report: Report, shown: PageParts, counts: ImageCounts, out: Path, force: bool) -> Report:
    from hardedge.deploy.report.html import report_html

    with staged_directory(out, force=force) as partial:
        write_atomically(partial / "report.html", report_html(report, shown).encode())
        write_atomically(partial / "junit.xml", report_junit(report).encode())
        write_atomically(partial / "summary.md", report_markdown(report).encode())
        write_counts(counts, partial)
        return seal(partial, report)
