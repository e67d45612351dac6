"""Commands that train many times: sweeps, and the search for a loss."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

import click

from hardedge.cli import completion
from hardedge.cli.commands import command
from hardedge.cli.options import FOLDER, Setting, data_option, json_option, set_option, track_option
from hardedge.cli.parts import guard_imports, print_result, read_recipe
from hardedge.cli.words import require_paths, require_recipe
from hardedge.console import note

# fields of which a search has its own
SEARCHED = ("loss", "branches")
# docs/results.md's, the first what the others are compared to, on anybody's data
PROTOCOL = ("ce", "hardness", "recall", "ce + cpg", "pat", "lmp", "ce + lovasz + abl")
PROTOCOL_SEEDS = 10
OF_A_PROXY = ("steps", "evaluate_every", "keep")

study_option = click.option(
    "--out", type=FOLDER, required=True, help="The study's directory; where it is there already, it goes on."
)
storage_option = click.option(
    "--storage",
    help="Optuna's storage: a database's URL (sqlite:///study.db), or a journal's path.  [default: in --out]",
)
seeds_option = click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="How many seeds each is trained with."
)
metric_option = click.option(
    "--metric",
    type=click.Choice(["miou", "recall", "boundary"]),
    default="miou",
    show_default=True,
    help="What counts on the validation split: mIoU, mean recall of the classes, F-score of their borders.",
)


@command()
@click.argument("recipe", shell_complete=completion.complete_recipes)
@data_option
@study_option
@click.option(
    "--loss", "losses", multiple=True, help="A loss; the first is what the others are compared to. Repeatable."
)
@click.option(
    "--protocol",
    is_flag=True,
    help="The losses of docs/results.md, 10 seeds unless --seeds says otherwise, judged at the last step (keep=last).",
)
@click.option(
    "--vary",
    type=Setting(),
    multiple=True,
    help="A field of the recipe: values as 'steps=200|400', with a --sampler also a range as "
    "learning_rate=1e-4..1e-2:log. Repeatable.",
    shell_complete=completion.settings,
)
@set_option
@seeds_option
@click.option("--first-seed", type=click.IntRange(min=0), default=0, show_default=True, help="The first of them.")
@metric_option
@click.option(
    "--sampler",
    type=click.Choice(["grid", "random", "tpe"]),
    default="grid",
    show_default=True,
    help="Every combination, or --points of them that this sampler of Optuna's proposes.",
)
@click.option("--points", type=click.IntRange(min=1), help="How many combinations a sampler proposes.")
@storage_option
@track_option
@json_option
def sweep(
    recipe: str,
    data: Path,
    out: Path,
    losses: tuple[str, ...],
    protocol: bool,
    vary: tuple[tuple[str, str], ...],
    settings: tuple[tuple[str, str], ...],
    seeds: int,
    first_seed: int,
    metric: str,
    sampler: Literal["grid", "random", "tpe"],
    points: int | None,
    storage: str | None,
    track: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train RECIPE with several seeds, losses and options, and compare them.

    Prints means, standard deviations, and differences to the first --loss, paired by seed, with their intervals. Scores
    are of the validation split. The same command again goes on with a sweep that was stopped; started several times, on
    machines that share --out, its processes share the work, and take up the trial of one that was killed.

    Example: hardedge sweep camvid --data my_data --out runs/sweep --loss ce --loss 'ce + cpg' --seeds 5
    """
    if (points is None) != (sampler == "grid"):
        raise click.UsageError("--points goes with --sampler random or tpe, and these need it.")
    twice = sorted({field for field, _ in vary if [name for name, _ in vary].count(field) > 1})
    if twice:
        raise click.UsageError(f"--vary {', '.join(twice)} is there twice. Write its values in one: FIELD='A|B'.")
    if protocol:
        if losses or "keep" in dict(settings):
            raise click.UsageError("--protocol has losses and keep=last of its own. Leave --loss and --set keep out.")
        losses, settings = PROTOCOL, (*settings, ("keep", "last"))
        seeds = seeds if _is_given("seeds") else PROTOCOL_SEEDS
    _require_one_place({field for field, _ in settings}, losses, vary)
    require_recipe(recipe, (*settings, *(("loss", loss) for loss in losses)))
    require_paths(data=data)
    with guard_imports("sweep", "torch", "optuna"):
        from hardedge.train.studies.comparison_text import study_text
        from hardedge.train.studies.sweep import sweep
    found = sweep(
        read_recipe(recipe, settings),
        data,
        out,
        losses=losses,
        vary=dict(vary),
        seeds=range(first_seed, first_seed + seeds),
        metric=metric,
        sampler=sampler,
        points=points or 0,
        storage=storage,
        track=track,
    )
    print_result(found, study_text(found, f"{out}: {found.metric} of the validation split in percent"), as_json)


def _is_given(option: str) -> bool:
    """Whether the command line has the option."""
    source = click.get_current_context().get_parameter_source(option)
    return source is not None and source is not click.core.ParameterSource.DEFAULT


def _require_one_place(fields: set[str], losses: tuple[str, ...], vary: tuple[tuple[str, str], ...]) -> None:
    """Raises UsageError where --set says what another option says too, and would go unheeded."""
    if "seed" in fields:
        raise click.UsageError("--set seed: give it as --first-seed.")
    if "loss" in fields and losses:
        raise click.UsageError("--set loss and --loss say the same. Give every loss as --loss.")
    twice = sorted(fields & {field for field, _ in vary})
    if twice:
        raise click.UsageError(f"--set {', '.join(twice)} and --vary say the same. Leave --set out.")


@command()
@click.argument("recipe", shell_complete=completion.complete_recipes)
@data_option
@study_option
@metric_option
@click.option(
    "--rounds", type=click.IntRange(min=1), default=12, show_default=True, help="After each the best so far is told."
)
@click.option("--samples", type=click.IntRange(min=2), default=8, show_default=True, help="Proxy trainings in a round.")
@click.option("--steps", type=click.IntRange(min=1), default=200, show_default=True, help="Steps of a proxy training.")
@set_option
@seeds_option
@storage_option
@json_option
def search_loss(
    recipe: str,
    data: Path,
    out: Path,
    metric: str,
    rounds: int,
    samples: int,
    steps: int,
    settings: tuple[tuple[str, str], ...],
    seeds: int,
    storage: str | None,
    as_json: bool,
) -> None:
    """Search a loss for a metric on your own data (Auto Seg-Loss).

    Proposes the curves of the loss asl, trains RECIPE for a few steps with each, and keeps the best. Every second
    validation image rewards the search; the others judge what it found beside cross-entropy, with new seeds. The same
    command again goes on with a search that was stopped, or joins it.

    Example: hardedge search-loss camvid --data my_data --out runs/loss --metric boundary
    """
    require_recipe(recipe, settings)
    require_paths(data=data)
    with guard_imports("sweep", "torch", "optuna"):
        from hardedge.train.studies.comparison_text import loss_text
        from hardedge.train.studies.search_loss import search_loss
    _tell_unheeded([name for name, _ in settings])
    found = search_loss(
        read_recipe(recipe, settings),
        data,
        out,
        metric=metric,
        rounds=rounds,
        samples=samples,
        steps=steps,
        seeds=seeds,
        storage=storage,
    )
    kept = [f"{name}={value}" for name, value in settings if name not in SEARCHED]
    words = shlex.join(["train", recipe, "--data", str(data), *(word for each in kept for word in ("--set", each))])
    print_result(found, loss_text(found, words), as_json)


def _tell_unheeded(fields: list[str]) -> None:
    """A line for what --set changes of the recipe and the search does not take from it."""
    searched = [name for name in fields if name in SEARCHED]
    later = [name for name in fields if name in OF_A_PROXY]
    if searched:
        note(f"--set {', '.join(searched)}: not heeded, as the search has losses of its own, without branches")
    if later:
        note(f"--set {', '.join(later)}: of the training that the last line prints; proxies have --steps")
