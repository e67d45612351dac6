"""Precisions: their names, and which targets can hold them."""

from collections.abc import Sequence

from hardedge.console import note
from hardedge.deploy.targets import backend_of, parse_target
from hardedge.errors import BadInput, faults_error
from hardedge.precisions import EXPORTED, unknown_precision


def parse_precisions(text: str, known: Sequence[str] = EXPORTED) -> tuple[str, ...]:
    """Names of precisions separated by commas; raises BadInput for an unknown one, and for one named twice."""
    names = tuple(item.strip().lower() for item in text.split(","))
    for name in names:
        if name not in known:
            raise unknown_precision(name, known)
        if names.count(name) > 1:
            raise BadInput(f'precisions "{text}": {name} is named twice. Name it once.')
    return names


def cannot_hold(target: str, precision: str) -> str | None:
    """Why a target cannot hold a precision, in words; None where it can, or where only its builder knows."""
    return backend_of(target).cannot_hold(parse_target(target).device, precision)


def engines_to_build(targets: Sequence[str], precisions: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Target and precision of every engine that can be; a note for each pair that cannot.

    Raises BadInput when a target or a precision would be left without an engine.
    """
    pairs = [(target, precision) for precision in precisions for target in targets]
    reasons = {pair: reason for pair in pairs if (reason := cannot_hold(*pair))}
    wanted = tuple(pair for pair in pairs if pair not in reasons)
    kept = {name for pair in wanted for name in pair}
    lines = [f"{precision} on {target}: {reason}" for (target, precision), reason in reasons.items()]
    if not {*targets, *precisions} <= kept:
        raise faults_error("what was asked for cannot be built", lines, "Give another --target or --precision.")
    if lines:
        note("Not built: " + "; ".join(lines) + ".")
    return wanted
