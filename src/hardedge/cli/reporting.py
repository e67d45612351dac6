"""Commands on reports."""

from __future__ import annotations

from pathlib import Path

import click

from hardedge.cli.commands import command
from hardedge.cli.options import FOLDER, force_option, json_option
from hardedge.cli.parts import print_result


@command()
@click.argument("a", type=FOLDER)
@click.argument("b", type=FOLDER)
@click.option("--shared", is_flag=True, help="Compare the test images that both share, and leave the others out.")
@click.option("--out", type=FOLDER, help="A directory to write, with comparison.html and comparison.json.")
@force_option
@json_option
def report(a: Path, b: Path, shared: bool, out: Path | None, force: bool, as_json: bool) -> None:
    """Compare two runs and mark the differences that are real.

    A and B are what `hardedge run`, `deploy` or `verify` wrote. mIoU and every class of B against A, with intervals of
    a paired bootstrap over the test images, which must be the same in both.

    Example: hardedge report runs/ce/report runs/hardness/report --out compared
    """
    from hardedge.artefact import require_free
    from hardedge.deploy.report.two_reports import compare_reports
    from hardedge.deploy.report.two_reports_page import write_comparison
    from hardedge.deploy.report.two_reports_text import comparison_report_text

    if out:
        require_free(out, force, [a, b])
    found = compare_reports(a, b, shared=shared)
    if out:
        write_comparison(found, out, force)
    print_result(found, comparison_report_text(found), as_json)


@command()
@click.argument("reports", type=FOLDER, nargs=-1, required=True)
@click.option("--out", type=FOLDER, required=True, help="The directory to write.")
@click.option("--bundle", type=FOLDER, help="The bundle that the reports are about: its calibration and components.")
@click.option("--owner", help="Who is responsible for the network; a blank in the model card without it.")
@click.option("--intended-use", help="What the network is for; a blank in the model card without it.")
@click.option("--key", type=FOLDER, help="Sign the dossier with this private key.")
@force_option
@json_option
def dossier(
    reports: tuple[Path, ...],
    out: Path,
    bundle: Path | None,
    owner: str | None,
    intended_use: str | None,
    key: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a dossier for whoever must file why a network may be released.

    REPORTS are what `hardedge run`, `deploy` or `verify` wrote about one bundle, on one machine or on several. The
    dossier has every claim with its evidence, a model card, component lists, and the error rates of the verdicts.

    Example: hardedge dossier runs/a/report jetson/report --bundle runs/a/bundle --out runs/dossier
    """
    from hardedge.deploy.dossier.write import write_dossier

    found = write_dossier(reports, out, bundle=bundle, owner=owner, intended_use=intended_use, key=key, force=force)
    print_result(found, f"{found.verdict.upper()}: {len(found.claims)} claims in {out / 'dossier.html'}", as_json)
