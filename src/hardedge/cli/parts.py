"""From options to what the stages take, and from what they return to the terminal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hardedge.cli.words import require_recipe
from hardedge.errors import BadInput, GateFailed, Unavailable
from hardedge.names import escaped_json, visible

if TYPE_CHECKING:
    from datetime import datetime

    from hardedge.contracts import Contract, Json, Report
    from hardedge.deploy.backends.request import BuildRequest
    from hardedge.deploy.bundles.signing import Trust
    from hardedge.deploy.foreign.forms import OnnxInputSpec
    from hardedge.deploy.verification.gates import Gates
    from hardedge.train.recipe import Recipe


@dataclass
class Stdout:
    """What stdout has by now: --json is one document, of the result or else of the error."""

    has_result: bool = False


@contextmanager
def guard_imports(extra: str, *packages: str) -> Iterator[None]:
    """Around imports that take seconds; raises Unavailable with the pip command when one is not installed."""
    from importlib.util import find_spec

    from hardedge.console import spinner
    from hardedge.errors import missing_extra

    for package in packages:
        if find_spec(package) is None:
            raise missing_extra(package, extra)
    with spinner(f"loading {packages[0]}"):
        yield


def read_recipe(name: str, settings: tuple[tuple[str, str], ...]) -> Recipe:
    """The recipe that RECIPE names, with its --set fields; raises BadInput for an unknown one."""
    require_recipe(name, settings)
    with guard_imports("train", "torch"):
        from hardedge.train.recipes import find_recipe

    return find_recipe(name, dict(settings))


def read_targets(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each --target written out: `tensorrt-rtx:sm86,sm89` is two. Raises BadInput for an unknown one."""
    from hardedge.deploy.targets import parse_targets

    return tuple(target for name in names for target in parse_targets(name))


def gates_from_options(options: dict[str, Any]) -> Gates:
    """The gates of the options, over those of --gates; raises BadInput for a file that cannot be read."""
    from hardedge.deploy.verification.gates import Gates, read_gates

    path = options.pop("gates_file")
    given = Gates(**options)
    return given.over(read_gates(path)) if path else given


def build_request(given: dict[str, Any]) -> BuildRequest:
    """How engines are built, from the build options, which are taken out of those that were given."""
    from dataclasses import fields

    from hardedge.contracts import BuildOptions
    from hardedge.deploy.backends.build_cache import BuildCache
    from hardedge.deploy.backends.request import BuildRequest

    options = BuildOptions(**{field.name: given.pop(field.name) for field in fields(BuildOptions)})
    folder = given.pop("cache")
    cache = BuildCache(folder) if folder else None
    if cache:
        cache.require_usable()
    return BuildRequest(options, cache, heal=not given.pop("no_heal"))


def onnx_input_spec(given: dict[str, Any]) -> OnnxInputSpec:
    """What was said of an ONNX file of others, taken out of the options."""
    from hardedge.deploy.foreign.forms import OnnxInputSpec

    names = ("mean", "std", "input_size", "output_name", "channels")
    mean, std, size, output, channels = (given.pop(name) for name in names)
    if std and min(std) <= 0:
        raise BadInput(f"--std {','.join(map(str, std))}: expected numbers above 0.")
    for name, values in (("--mean", mean), ("--std", std)):
        if values and max(values) > 1:
            divided = ",".join(f"{value / 255:.4g}" for value in values)
            raise BadInput(
                f"{name} {','.join(map(str, values))}: expected numbers of pixels in 0..1. "
                f"Of pixels in 0..255 these are {name} {divided}."
            )
    return OnnxInputSpec(mean=mean, std=std, size=size, output=output, channels=channels)


def read_levels(certificate: Any) -> list[tuple[int, Any]]:
    """Levels 0 and 1 of an identity certificate with their numbers."""
    return list(enumerate((certificate.level0, certificate.level1)))


def print_result(result: Contract | Mapping[str, Json], text: str, as_json: bool) -> None:
    """Writes a result to stdout, as its text or as one JSON document."""
    color = False if "NO_COLOR" in os.environ else None
    click.echo(as_document(result) if as_json else coloured(visible(text)), nl=not as_json, color=color)
    click.get_current_context().ensure_object(Stdout).has_result = True


def coloured(text: str) -> str:
    """The text with the verdict at a line's start in its colour; click leaves colours out where no terminal is."""
    return re.sub(r"^(?:PASS|FAIL|INCONCLUSIVE)\b", lambda word: _in_colour(word[0]), text, flags=re.MULTILINE)


def _in_colour(word: str) -> str:
    return click.style(word, fg={"PASS": "green", "FAIL": "red"}.get(word, "yellow"), bold=True)


def as_document(result: Contract | Mapping[str, Json]) -> str:
    """A result as indented JSON text."""
    from hardedge.contracts import to_json

    if isinstance(result, Mapping):
        return escaped_json(json.dumps(result, indent=1, ensure_ascii=False)) + "\n"
    return escaped_json(to_json(result))


def exit_with_verdict(report: Report, out: Path, as_json: bool, opens: bool = False) -> None:
    """Prints a report's summary, and opens its page if `opens`.

    Raises GateFailed when a verdict or a gate did not pass.
    """
    from hardedge.deploy.report.terminal import summary_text

    print_result(report, summary_text(report, out), as_json)
    if opens and click.launch(str((out / "report.html").absolute())):
        click.echo(f"nothing here opens a page: open {out / 'report.html'} in a browser", err=True)
    if report.verdict == "fail":
        raise GateFailed(f"verification failed. The report says why: {out / 'report.html'}")
    if report.broken_off:
        lost = "; ".join(report.broken_off)
        raise Unavailable(f"broken off while it ran: {lost}. The report has what was measured: {out / 'report.html'}")
    undecided = list(dict.fromkeys(gate.name for gate in report.gates if gate.status != "pass"))
    if undecided:
        raise GateFailed(f"could not decide {', '.join(undecided)}. The report says why: {out / 'report.html'}")


def require_trusted(bundle: Path, public_key: Path | None, since: datetime | None) -> None:
    """Raises BadInput where somebody is trusted and did not sign this bundle."""
    from hardedge.contracts import Bundle, load

    trust = read_trust_options(public_key, since)
    if trust:
        trust.require(bundle, load(Bundle, bundle))


def read_trust_options(public_key: Path | None, since: datetime | None) -> Trust | None:
    """Who is trusted, from --trust and --signed-since; None where nobody was named."""
    from datetime import timezone

    from hardedge.deploy.bundles.signing import read_trust

    if public_key is None:
        if since is not None:
            raise click.UsageError("--signed-since needs --trust: without a key no signature is looked at.")
        return None
    return read_trust(public_key, since.replace(tzinfo=timezone.utc) if since else None)
