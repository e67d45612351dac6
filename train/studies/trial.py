"""One trial of a study: an ordinary training in a directory of its own, and its score."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hardedge.console import note
from hardedge.contracts import Checkpoint, load
from hardedge.data.dataset import Dataset
from hardedge.errors import BadInput
from hardedge.train.hardness_maps import load_trained
from hardedge.train.recipe import Recipe
from hardedge.train.stage import train
from hardedge.train.studies.scores import METRICS, count_scores, scores_of
from hardedge.train.studies.study import Study, StudyJob


@dataclass(frozen=True)
class TrialSetting:
    """What all trials of a study share: the data, the images that judge a training, by which metric, who tracks it."""

    data: Path
    dataset: Dataset
    metric: str
    judging: Sequence[str]
    track: Sequence[str] = ()


def run_trial(study: Study, job: StudyJob, recipe: Recipe, bench: TrialSetting) -> None:
    """Trains and scores; a training that cannot be done ends its trial with the reason, and the study goes on.

    Raises Unavailable for what this machine lacks: the trial is then left to whoever goes on with the study.
    """
    note(f"trial {job.number}: loss {recipe.loss}, seed {job.seed}, in {job.out}")
    try:
        made = train_trial(recipe, bench, job.out)
        score = score_of_checkpoint(job.out, made, bench, bench.judging)
    except (BadInput, torch.OutOfMemoryError) as error:
        study.fail(job, error)
        return
    study.complete(job, score, checkpoint=made.digest, seconds=made.seconds)


def train_trial(recipe: Recipe, bench: TrialSetting, out: Path) -> Checkpoint:
    """The checkpoint in `out`: as it is there, from where a training was killed, or from the start."""
    for partial in out.parent.glob(f".{out.name}.partial-*"):
        shutil.rmtree(partial)
    if (out / Checkpoint.FILE).is_file():
        return load(Checkpoint, out)
    made = train(recipe, bench.data, out, resume=out.is_dir(), track=bench.track)
    assert made is not None, "a study trains in one process"
    return made


def score_of_checkpoint(out: Path, made: Checkpoint, bench: TrialSetting, ids: Sequence[str]) -> float:
    """The metric over these images in percent; raises BadInput where none of them has what it is of."""
    if bench.metric == "miou" and tuple(ids) == tuple(bench.dataset.splits["val"]):
        return made.validation.miou
    model = load_trained(made, out, allow_code=True).model
    counts = count_scores(model, bench.dataset, ids, with_borders=bench.metric == "boundary")
    score = scores_of(counts)[METRICS[bench.metric]]
    if math.isnan(score):
        raise BadInput(
            f"{bench.dataset.root}: the {len(ids)} images that judge a training have nothing labelled that "
            f"{METRICS[bench.metric]} is of. Put labelled images into the validation split."
        )
    return score
