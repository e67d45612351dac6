"""How far the verdicts themselves can be trusted: their measured error rates and what they do not cover."""

from __future__ import annotations

from typing import Final

from hardedge.deploy.dossier.document import Part, Table

# from docs/verdicts.md, whose tables are made by benchmarks/few_images.py and benchmarks/verdicts.py
RATES: Final = (
    ("mIoU, true drop equal to the margin, 50 images", "pass", "1.3 %"),
    ("mIoU, true drop equal to the margin, 100 images", "pass", "1.3 %"),
    ("mIoU, true drop twice the margin, 50 images", "fail", "100.0 %"),
    ("latency, true ratio 1.01, 10 session pairs", "equivalent", "0.0 %"),
    ("latency, equal arms, 10 session pairs", "different", "0.0 %"),
    ("latency, equal arms, 10 session pairs", "equivalent", "87.3 %"),
)


def confidence_part() -> Part:
    """Intended use, known limits, and measured error rates of the verdicts."""
    return Part(
        "Confidence in the tool",
        (
            "Intended use: to compare an engine with the trained network that it was built from, on given test images, "
            "and to show that training-only parts are gone. It does not judge whether the network is good enough.",
            "Known limits: no GPU was at hand when these rates were measured. A verdict covers images like the test "
            "images, and nothing that none of them shows. A builder that misreads an operator does so for both "
            "networks of a certificate; parity sees it, the certificate does not. Digests show changes; only a "
            "signature shows who made a file.",
            "The error rates are simulated with the functions that judge: 300 seeded trials a row, truth known. This "
            "dossier is meant to support arguments in the sense of ISO/PAS 8800 and ISO 26262-8. It claims no "
            "conformity.",
        ),
        (Table("Measured error rates and power", ("what is true", "answer", "share of trials"), RATES),),
    )
