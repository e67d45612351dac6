"""Gates and verdicts on made-up measurements."""

from dataclasses import replace
from pathlib import Path

import pytest

from hardedge.contracts import Certificate, Check, Gate, Interval, Overhead, Parity, Status, Verdict, read_json
from hardedge.deploy.verification.gates import Gates, judge_gates, overall_verdict


@pytest.fixture
def certificate(shared_bundle: Path) -> Certificate:
    return read_json(Certificate, shared_bundle / Certificate.FILE)


def parity(low: float, high: float, status: Verdict = "pass") -> Parity:
    return Parity(
        target="tensorrt",
        precision="fp16",
        images=100,
        miou_reference=70.0,
        miou=70.0 + (low + high) / 2,
        difference=(low + high) / 2,
        interval=Interval(low=low, high=high, confidence=90.0),
        margin=0.1,
        status=status,
        detail="",
        pixel_agreement=1.0,
        boundary_agreement=1.0,
        golden_agreement=1.0,
        per_class=(),
        deciles=(),
        stable=None,
    )


def overhead(low: float | None, high: float | None) -> Overhead:
    interval = None if low is None or high is None else Interval(low=low, high=high, confidence=90.0)
    ratio = None if interval is None else (interval.low + interval.high) / 2
    return Overhead(ratio=ratio, interval=interval, status="inconclusive", detail="said why")


def differing(certificate: Certificate) -> Certificate:
    return replace(certificate, level0=replace(certificate.level0, status="different"))


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(-0.2, 0.1, "pass"), (-0.3, 0.0, "pass"), (-0.31, 0.5, "inconclusive"), (-1.0, -0.31, "fail"), (0.0, 0.0, "pass")],
)
def test_the_miou_gate_applies_to_the_bound(certificate: Certificate, low: float, high: float, status: str) -> None:
    (gate,) = judge_gates(Gates(max_miou_drop=0.3), certificate, [parity(low, high)], overhead(None, None))
    assert (gate.status, gate.limit) == (status, "at most 0.3 points")


def test_no_drop_at_all_can_be_asked_for(certificate: Certificate) -> None:
    (gate,) = judge_gates(Gates(max_miou_drop=0.0), certificate, [parity(0.0, 0.0)], overhead(None, None))
    assert gate.status == "pass"


def test_each_target_has_its_gate_and_none_is_undecided(certificate: Certificate) -> None:
    gates = judge_gates(Gates(max_miou_drop=0.3), certificate, [parity(0, 0), parity(-2, -1)], overhead(None, None))
    assert [gate.status for gate in gates] == ["pass", "fail"]
    (gate,) = judge_gates(Gates(max_miou_drop=0.3), certificate, [], overhead(None, None))
    assert (gate.status, gate.found[:12]) == ("inconclusive", "not measured")


@pytest.mark.parametrize(
    ("images", "low", "high", "status", "said"),
    [
        (4, -0.5, -0.2, "inconclusive", "of 4 images: 5 at least decide"),
        (5, -0.5, -0.2, "fail", "90 % interval [-0.500, -0.200]"),
        (10, 0.0, 0.0, "inconclusive", "19 more images would, as at most 10 % may stay unseen (--max-unseen)"),
        (28, -0.05, 0.0, "inconclusive", "1 more image would"),
        (29, 0.0, 0.0, "pass", "29 images; at most 9.8 % of such images can be of a kind that none of these is"),
    ],
)
def test_few_images_pass_no_gate(
    images: int, low: float, high: float, status: str, said: str, certificate: Certificate
) -> None:
    few = replace(parity(low, high), images=images)
    (gate,) = judge_gates(Gates(max_miou_drop=0.1), certificate, [few], overhead(None, None))
    assert gate.status == status
    assert said in gate.found


def test_more_may_stay_unseen_where_the_user_says_so(certificate: Certificate) -> None:
    few = replace(parity(0.0, 0.0), images=6)
    for max_unseen, status in ((39.0, "inconclusive"), (40.0, "pass")):
        gates = Gates(max_miou_drop=0.1, max_unseen=max_unseen)
        (gate,) = judge_gates(gates, certificate, [few], overhead(None, None))
        assert gate.status == status


def test_level0_satisfies_the_overhead_gate(certificate: Certificate) -> None:
    (gate,) = judge_gates(Gates(max_overhead=0.0), certificate, [], overhead(0.5, 1.5))
    assert gate.status == "pass"
    assert "implied by level 0" in gate.found


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(0.99, 1.019, "pass"), (1.0, 1.03, "inconclusive"), (1.021, 1.03, "fail"), (None, None, "inconclusive")],
)
def test_the_overhead_gate_applies_to_the_bound(
    certificate: Certificate, low: float | None, high: float | None, status: str
) -> None:
    (gate,) = judge_gates(Gates(max_overhead=2.0), differing(certificate), [], overhead(low, high))
    assert (gate.status, gate.limit) == (status, "at most 2 %")


@pytest.mark.parametrize(
    ("engines", "level0", "level0_engines"),
    [
        ("identical", "pass", "pass"),
        ("different", "pass", "fail"),
        ("not run here", "pass", "inconclusive"),
        ("inconclusive", "pass", "inconclusive"),
    ],
)
def test_required_levels(certificate: Certificate, engines: Status, level0: str, level0_engines: str) -> None:
    checked = replace(certificate.level0, rtx_engines=Check(status=engines, detail=""))
    identical = replace(certificate, level0=checked)
    for certified, expected in ((identical, (level0, level0_engines)), (differing(identical), ("fail", "fail"))):
        (first,) = judge_gates(Gates(require="level0"), certified, [], overhead(None, None))
        (second,) = judge_gates(Gates(require="level0-engines"), certified, [], overhead(None, None))
        assert (first.status, second.status) == expected


def test_nothing_asked_for_is_no_gate(certificate: Certificate) -> None:
    assert judge_gates(Gates(), certificate, [parity(-9, -8)], overhead(None, None)) == ()


def gate(status: Verdict) -> Gate:
    return Gate(name="", limit="", found="", status=status)


def test_verdicts(certificate: Certificate) -> None:
    good, undecided, bad = parity(0, 0), parity(-1, 1, "inconclusive"), parity(-2, -1, "fail")
    assert overall_verdict(certificate, [good], []) == "pass"
    assert overall_verdict(certificate, [good], [gate("pass")]) == "pass"
    assert overall_verdict(certificate, [good, undecided], []) == "inconclusive"
    assert overall_verdict(certificate, [good], [gate("inconclusive")]) == "inconclusive"
    assert overall_verdict(certificate, [], []) == "inconclusive"
    assert overall_verdict(certificate, [undecided, bad], []) == "fail"
    assert overall_verdict(certificate, [good], [gate("fail"), gate("inconclusive")]) == "fail"
    assert overall_verdict(differing(certificate), [good], [gate("pass")]) == "fail"
    assert (
        overall_verdict(replace(certificate, level1=replace(certificate.level1, status="different")), [good], [])
        == "fail"
    )
