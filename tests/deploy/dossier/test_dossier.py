"""A dossier says what its reports say, names what was not run, and validates against the schemas that it names."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hardedge.contracts import Bundle, Dossier, Latency, Report, load, parse_json, seal, sha256_of
from hardedge.deploy.bundles.signing import read_trust, write_keys
from hardedge.deploy.dossier.card import tail
from hardedge.deploy.dossier.claims import relative_miou
from hardedge.deploy.dossier.confidence import RATES
from hardedge.deploy.dossier.write import write_dossier
from hardedge.deploy.report.junit import report_junit
from hardedge.deploy.verification.gates import Gates, read_gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput

pytest.importorskip("cyclonedx", reason="comes with hardedge[components]")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def filed(
    shared_bundle: Path, shared_engine: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A report with one gate that has a requirement and one that has none."""
    out = tmp_path_factory.mktemp("dossier") / "report"
    gates = Gates(
        max_miou_drop=0.1, min_relative_miou=0.999, max_unseen=40, requirements={"min-relative-miou": "REQ-12"}
    )
    verify(shared_bundle, [shared_engine], shared_data, out, gates=gates, latency_seconds=0.1)
    return out


@pytest.fixture(scope="module")
def dossier(filed: Path, shared_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("filed") / "dossier"
    write_dossier(filed, out, bundle=shared_bundle, owner="A <b> | team", intended_use="parking")
    return out


def test_claims_are_the_checks_of_the_report_with_their_evidence(filed: Path, dossier: Path) -> None:
    report, found = load(Report, filed), load(Dossier, dossier)
    assert (found.verdict, found.made_from, found.reports) == (report.verdict, report.made_from, (report.digest,))
    asked = [claim for claim in found.claims if claim.check == "gate"]
    assert [(claim.requirement, claim.status) for claim in asked] == [
        (gate.requirement, gate.status) for gate in report.gates
    ]
    assert {claim.requirement for claim in found.claims} == {None, "REQ-12"}
    assert {claim.evidence.sha256 for claim in found.claims} == {sha256_of(filed / "report.json")}
    parity = next(claim for claim in found.claims if claim.claim.startswith("mIoU is kept"))
    assert relative_miou(report.parity[0]) in parity.found


def test_an_engine_that_did_not_run_is_a_claim_without_a_result(filed: Path, tmp_path: Path) -> None:
    report = load(Report, filed)
    unrun = replace(report.engines[0], target="tensorrt", not_run="no GPU")
    for name in report.files:
        (tmp_path / name).write_bytes((filed / name).read_bytes())
    seal(tmp_path, replace(report, engines=(*report.engines, unrun)))
    found = write_dossier(tmp_path, tmp_path / "out")
    assert [(claim.status, claim.found) for claim in found.claims if claim.claim.startswith("tensorrt ")] == [
        ("not run here", "no GPU")
    ]
    assert "tensorrt fp32: built, not run" in (tmp_path / "out/model-card.md").read_text()


def test_the_card_has_metadata_and_says_what_is_blank(filed: Path, dossier: Path) -> None:
    text = (dossier / "model-card.md").read_text()
    metadata = yaml.safe_load(text.split("---\n")[1])
    report = load(Report, filed)
    assert metadata["pipeline_tag"] == "image-segmentation"
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["value"] == round(report.metrics.miou, 2)
    assert r"A \<b\> \| team" in text
    assert "To be filled in by the owner." in text
    assert "A &lt;b&gt; | team" in (dossier / "model-card.html").read_text()
    assert f"--target {report.engines[0].target} --precision {report.engines[0].precision}" in text.replace("\\", "")


def test_component_lists_are_valid_cyclonedx(filed: Path, dossier: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (dossier / "runtime.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    report = load(Report, filed)
    hashes = {each["hashes"][0]["content"] for each in json.loads(text)["components"] if "hashes" in each}
    assert hashes == {engine.sha256 for engine in report.engines}


def test_the_manifest_follows_its_schema(dossier: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs/schema/dossier.json").read_text())
    jsonschema.validate(json.loads((dossier / "dossier.json").read_text()), schema)


def test_a_signed_dossier_is_trusted_and_an_altered_one_is_not(filed: Path, tmp_path: Path) -> None:
    public = write_keys(tmp_path / "key")
    write_dossier(filed, tmp_path / "out", key=tmp_path / "key")
    trust = read_trust(public)
    trust.require(tmp_path / "out", load(Dossier, tmp_path / "out"))
    (tmp_path / "out/model-card.md").write_text("perfect\n")
    with pytest.raises(BadInput, match=r"model-card.md: changed"):
        load(Dossier, tmp_path / "out")
    seal(tmp_path / "out", parse_json(Dossier, (tmp_path / "out/dossier.json").read_bytes(), "dossier.json"))
    with pytest.raises(BadInput, match="does not sign"):
        trust.require(tmp_path / "out", load(Dossier, tmp_path / "out"))


def test_what_does_not_belong_together_is_refused(
    filed: Path, own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    report = load(Report, filed)
    for name in report.files:
        (tmp_path / name).write_bytes((filed / name).read_bytes())
    seal(tmp_path, replace(report, made_from="0" * 64))
    with pytest.raises(BadInput, match="different bundles"):
        write_dossier([filed, tmp_path], tmp_path / "out")
    with pytest.raises(BadInput, match="given twice"):
        write_dossier([filed, filed], tmp_path / "out")
    resealed(own_bundle, loss="focal")
    with pytest.raises(BadInput, match="another bundle"):
        write_dossier(filed, tmp_path / "out", bundle=own_bundle)
    assert not (tmp_path / "out").exists()


def test_requirements_of_a_gates_file_reach_junit(filed: Path, tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    path.write_text('min-relative-miou = 0.999\n[requirements]\nmin-relative-miou = "REQ-12"\n')
    assert read_gates(path) == Gates(min_relative_miou=0.999, requirements={"min-relative-miou": "REQ-12"})
    text = report_junit(load(Report, filed))
    cases = re.findall(
        r'<testcase[^>]*name="([^"]*)"[^>]*>\s*<properties>\s*<property name="requirement" value="([^"]*)"', text
    )
    assert cases == [("--min-relative-miou at least 99.9 % of the reference's mIoU", "REQ-12")]
    path.write_text('max-class-drop = 2\n[requirements]\nmax-class-drop = "REQ-13"\n')
    assert read_gates(path).requirements == {"max-class-drop": "REQ-13"}
    path.write_text('[requirements]\nmax-unseen = "REQ-12"\n')
    with pytest.raises(BadInput, match="requirements: expected a table of IDs by gate"):
        read_gates(path)
    path.write_text('[requirements]\nmin-relative = "REQ-12"\n')
    with pytest.raises(BadInput, match="requirements: expected a table of IDs by gate"):
        read_gates(path)


def test_a_ratio_is_judged_by_its_lower_end(filed: Path) -> None:
    from hardedge.deploy.verification.drop_gates import relative_miou_gates

    run = replace(load(Report, filed).parity[0], miou_reference=50.0, images=200, labelled=200)
    ends = {"pass": (-0.04, 0.0), "inconclusive": (-0.06, 0.0), "fail": (-0.2, -0.06)}
    for status, (low, high) in ends.items():
        shown = replace(run, interval=replace(run.interval, low=low, high=high))
        assert [gate.status for gate in relative_miou_gates(0.999, [shown])] == [status]


def test_a_tail_needs_runs(filed: Path) -> None:
    latency: Latency = load(Report, filed).latency[0]
    assert (latency.p999, tail(latency)) == (None, f"not supported by {latency.runs} runs")
    assert tail(replace(latency, p999=3.217)) == "3.22 ms"


def test_the_error_rates_are_those_of_the_documents() -> None:
    page = (ROOT / "docs/verdicts.md").read_text()
    for what, answer, share in RATES:
        assert f"| {what} | {answer} | {share} |" in page
