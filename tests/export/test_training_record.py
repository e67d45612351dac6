"""What a bundle keeps of its training: the log's numbers, thinned, and nothing that is no number."""

import json
from pathlib import Path

import pytest

from hardedge.contracts import TrainingCurves, parse_json, to_json
from hardedge.errors import BadInput
from hardedge.export.training_record import MOST, read_training_curves, write_training_curves


def logged(path: Path, steps: int) -> Path:
    lines = [
        {
            "step": step,
            "terms": {"loss": 1 / step, "hardness": float("nan") if step == 20 else 0.5},
            "learning_rate": 0.1,
        }
        for step in range(10, steps + 1, 10)
    ]
    lines.insert(2, {"step": 30, "miou": 41.5, "per_class": {"road": 41.5}})
    lines.append({"step": steps, "unreadable": {"a": "cut"}})
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"step": 7, "ter', encoding="utf-8")
    return path


def test_the_curves_are_the_log(tmp_path: Path) -> None:
    found = read_training_curves(logged(tmp_path / "metrics.jsonl", 40))
    assert found == TrainingCurves(
        steps=(10, 20, 30, 40),
        terms={"loss": (1 / 10, 1 / 20, 1 / 30, 1 / 40), "hardness": (0.5, None, 0.5, 0.5)},
        learning_rate=(0.1,) * 4,
        evaluated=(30,),
        miou=(41.5,),
    )
    assert parse_json(TrainingCurves, to_json(found).encode(), "training.json") == found


def test_long_logs_keep_their_ends(tmp_path: Path) -> None:
    found = read_training_curves(logged(tmp_path / "metrics.jsonl", 90_000))
    assert found is not None
    assert len(found.steps) == len(found.terms["loss"]) == MOST
    assert (found.steps[0], found.steps[-1]) == (10, 90_000)
    assert found.terms["loss"] == tuple(1 / step for step in found.steps)


def test_without_a_log_nothing_is_written(tmp_path: Path) -> None:
    write_training_curves(tmp_path, tmp_path)
    (tmp_path / "metrics.jsonl").write_text("no JSON\n[1]\n", encoding="utf-8")
    write_training_curves(tmp_path, tmp_path)
    assert not (tmp_path / TrainingCurves.FILE).exists()


def test_a_curve_of_other_lengths_is_refused() -> None:
    with pytest.raises(BadInput, match="other steps than values"):
        TrainingCurves(steps=(1, 2), terms={"loss": (0.5,)}, learning_rate=(0.1, 0.1), evaluated=(), miou=())
