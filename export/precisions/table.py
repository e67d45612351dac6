"""The conversions of a bundle in words: what was reached, what was measured, what could not be built."""

from collections import Counter
from collections.abc import Iterator

from hardedge.contracts import Bundle, Conversion, KeptNode, ModelFile
from hardedge.precisions import precision_named
from hardedge.statistics.signed import signed_text, span_text

COLUMNS = ("precision", "multiply-adds in it", "logits differ by", "equal pixels", "mIoU difference (90 %)", "engines")


def precisions_text(bundle: Bundle) -> str:
    """A row for each converted file, then every node in a higher precision and every engine that is missing."""
    converted = [(model, model.conversion) for model in bundle.models if model.conversion]
    rows = [COLUMNS, *(_row(model, conversion) for model, conversion in converted)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for model, conversion in converted:
        lines += _notes(model, conversion)
    arithmetic = sorted({conversion.agreement.arithmetic for _, conversion in converted})
    return "\n".join(
        [*lines, *(f"Computed by {text}: a check of the conversion, not of a GPU." for text in arithmetic)]
    )


def _row(model: ModelFile, conversion: Conversion) -> tuple[str, ...]:
    found = conversion.agreement
    # of a mixture, the share in INT8
    reached = conversion.multiply_adds.get(precision_named(model.precision).counted_as, 0)
    share = reached / max(model.census.multiply_adds, 1)
    built = sum(engine.status == "built" for engine in conversion.engines)
    return (
        model.precision,
        f"{100 * share:.1f} %",
        f"{found.logit_difference:.2g} of {found.logit_largest:.3g}",
        f"{100 * found.pixel_agreement:.2f} %",
        f"{signed_text(found.difference, 2)} {span_text(found.interval.low, found.interval.high, 2)} "
        f"on {found.images} images: {found.status} ({found.margin:g} points)",
        f"{built} of {len(conversion.engines)}",
    )


def _notes(model: ModelFile, conversion: Conversion) -> Iterator[str]:
    groups: dict[tuple[str, str], list[KeptNode]] = {}
    for node in conversion.kept:
        groups.setdefault((node.precision, node.why), []).append(node)
    for (precision, why), nodes in groups.items():
        share = sum(node.multiply_adds for node in nodes) / max(model.census.multiply_adds, 1)
        kinds = ", ".join(f"{count} {operator}" for operator, count in Counter(n.operator for n in nodes).items())
        names = ", ".join(node.node for node in nodes[:4]) + (", ..." if len(nodes) > 4 else "")
        yield f"{model.precision}: {kinds} in {precision} ({names}; {100 * share:.1f} % of the multiply-adds): {why}"
    reasons: dict[str, list[str]] = {}
    for engine in conversion.engines:
        if engine.status != "built":
            reasons.setdefault(f"{engine.status} ({engine.detail})", []).append(engine.target)
    for reason, targets in reasons.items():
        yield f"{model.precision}: {', '.join(targets)} {reason}"
