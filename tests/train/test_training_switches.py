"""What a recipe can switch on: each gives what it says, and goes on bit for bit."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from hardedge.contracts import ClassInfo, Task
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput, Unavailable
from hardedge.train import loop, memory_format, objective
from hardedge.train.batches import shared_memory
from hardedge.train.batches.samples import TrainingSample, TrainingSamples
from hardedge.train.batches.shared_memory import require_shared_memory
from hardedge.train.branches import HardnessBranch
from hardedge.train.evaluation import with_reestimated_batchnorm
from hardedge.train.loop import new_state, ships_reestimated, statistics_batches, training_step
from hardedge.train.losses import parse_loss
from hardedge.train.objective import require_compiler, unused_parameters
from hardedge.train.recipe import Recipe, require_usable
from hardedge.train.stage import train
from hardedge.train.state import TrainingState

TASK = Task(classes=tuple(ClassInfo(name=name, color=(0, 0, 0)) for name in "abc"), ignore_index=255)
Tiny = Callable[..., Recipe]
HARD: dict[str, Any] = {"loss": parse_loss("hardness"), "branches": (HardnessBranch(tap="2"),)}


def batch(images: int = 4) -> TrainingSample:
    """Random images, each pixel labelled."""
    generator = torch.Generator().manual_seed(0)
    images_BCHW = torch.randn(images, 3, 32, 48, generator=generator)
    return TrainingSample(images_BCHW, torch.randint(0, 3, (images, 32, 48), generator=generator), {})


def after_steps(recipe: Recipe, steps: int = 3) -> tuple[TrainingState, list[dict[str, float]]]:
    """The state after some steps on one batch, without dropout, and what each step told."""
    state = new_state(recipe, TASK)
    for module in state.training.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return state, [training_step(state, recipe, batch()) for _ in range(steps)]


def require_close(ours: TrainingState, theirs: TrainingState, tolerance: float) -> None:
    for mine, yours in zip(ours.training.parameters(), theirs.training.parameters(), strict=True):
        torch.testing.assert_close(mine, yours, rtol=tolerance, atol=tolerance)


def test_gradients_of_parts_add_up_to_those_of_the_batch(tiny_recipe: Tiny) -> None:
    whole = tiny_recipe(batch=4, optimiser="sgd")
    parts = tiny_recipe(batch=4, optimiser="sgd", accumulate=2)
    states = []
    for recipe in (whole, parts):
        state = new_state(recipe, TASK)
        state.training.model[1] = nn.Identity()  # BatchNorm sees a part at a time
        state.training.model[3] = nn.Identity()
        states.append((state, training_step(state, recipe, batch())))
    assert states[1][1] == pytest.approx(states[0][1], rel=1e-6)
    require_close(states[1][0], states[0][0], 1e-6)  # float32 sums in another order


def test_the_average_follows_its_recursion(tiny_recipe: Tiny) -> None:
    recipe = tiny_recipe(ema=0.3, batch=4, learning_rate=0.1)
    state = new_state(recipe, TASK)
    assert state.average is not None
    expected = [parameter.detach().double() for parameter in state.training.parameters()]
    for step in range(6):
        training_step(state, recipe, batch())
        decay = min(0.3, (1 + step) / (10 + step))
        weights = [parameter.detach().double() for parameter in state.training.parameters()]
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, weights, strict=True)]
    for ours, reference in zip(state.average.parameters(), expected, strict=True):
        torch.testing.assert_close(ours.double(), reference, rtol=1e-5, atol=1e-6)
        assert not ours.requires_grad


def test_the_average_ships_with_statistics_of_its_own(tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=6, evaluate_every=6, ema=0.9, learning_rate=0.05)
    made = train(recipe, tiny_dataset, tmp_path / "out")
    assert made is not None
    assert made.batchnorm_reestimated
    stored = torch.load(tmp_path / "out/state/training.pt", weights_only=True)
    shipped = load_file(tmp_path / "out/weights.safetensors")
    assert torch.equal(shipped["0.weight"], stored["average"]["model.0.weight"])
    assert not torch.equal(shipped["0.weight"], stored["model"]["0.weight"])
    dataset = open_dataset(tiny_dataset)
    average = new_state(recipe, dataset.task).training
    average.load_state_dict(stored["average"])
    torch.manual_seed(recipe.seed)
    batches = statistics_batches(average, recipe, TrainingSamples(dataset, recipe))
    with with_reestimated_batchnorm(average, batches):
        assert torch.equal(average.model[1].running_mean, shipped["1.running_mean"])
        assert torch.equal(average.model[1].running_var, shipped["1.running_var"])


def test_an_average_has_no_running_statistics_however_long_the_run(tiny_recipe: Tiny) -> None:
    training = new_state(tiny_recipe(), TASK).training
    assert not ships_reestimated(training, tiny_recipe(steps=10**6))
    assert ships_reestimated(training, tiny_recipe(steps=10**6, ema=0.999))


@pytest.mark.parametrize("switch", [{"channels_last": True}, {"fused": False}])
def test_another_memory_order_or_kernel_is_the_same_training(tiny_recipe: Tiny, switch: dict[str, Any]) -> None:
    plain, told = after_steps(tiny_recipe(batch=4, **HARD))
    state, terms = after_steps(tiny_recipe(batch=4, **HARD, **switch))
    # other kernels, and AdamW's first steps turn a rounding error of a gradient near 0 into a part of the rate, 0.01
    require_close(state, plain, 2e-3)
    for step in range(3):
        assert terms[step] == pytest.approx(told[step], rel=1e-3)
    channels_last = state.training.model[4].weight.is_contiguous(memory_format=torch.channels_last)
    assert channels_last == ("channels_last" in switch)


@pytest.mark.parametrize("faster", [False, True])
def test_the_faster_memory_order_is_found_and_kept(
    tiny_dataset: Path, tiny_recipe: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: bool
) -> None:
    """The training is the one that names it, bit for bit, whoever goes on with it, and its recipe names it too."""
    named, auto = (tiny_recipe(steps=2, evaluate_every=1, channels_last=value, **HARD) for value in (faster, "auto"))
    train(named, tiny_dataset, tmp_path / "named")

    def seconds(state: TrainingState, recipe: Recipe, batch: TrainingSample) -> float:
        last = state.training.model[4].weight.is_contiguous(memory_format=torch.channels_last)
        return 1.0 if last == faster else 2.0

    monkeypatch.setattr(memory_format, "seconds_of_a_step", seconds)
    found = train(auto, tiny_dataset, tmp_path / "auto")
    expected, shipped = (load_file(tmp_path / name / "weights.safetensors") for name in ("named", "auto"))
    assert all(torch.equal(shipped[key], expected[key]) for key in expected)
    assert found is not None
    assert found.recipe["channels_last"] is faster

    (tmp_path / "auto/checkpoint.json").unlink()  # killed at its end
    monkeypatch.setattr(memory_format, "seconds_of_a_step", lambda *_: pytest.fail("nothing is measured again"))
    again = train(auto, tiny_dataset, tmp_path / "auto", resume=True)
    assert again is not None
    assert again.recipe["channels_last"] is faster


def test_steps_are_measured_in_both_memory_orders(
    tiny_dataset: Path, tiny_recipe: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def seconds(state: TrainingState, recipe: Recipe, batch: TrainingSample) -> float:
        weight = state.training.model[4].weight
        seen.append(weight.is_contiguous(memory_format=torch.channels_last))
        return 10.0 if len(seen) in (4, 6) else float(len(seen))  # a busy moment

    monkeypatch.setattr(memory_format, "seconds_of_a_step", seconds)
    assert not memory_format.faster_with_channels_last(tiny_recipe(), open_dataset(tiny_dataset))
    assert seen == [False, True] * 4


def test_bfloat16_rounds_the_outputs_and_keeps_the_weights(tiny_recipe: Tiny) -> None:
    _, told = after_steps(tiny_recipe(batch=4))
    state, terms = after_steps(tiny_recipe(batch=4, amp=True, bfloat16=True))
    assert all(parameter.dtype == torch.float32 for parameter in state.training.parameters())
    assert terms[0]["ce"] != told[0]["ce"]
    assert terms[0]["ce"] == pytest.approx(told[0]["ce"], rel=2**-7)  # bfloat16 has 8 bits
    seen = []
    state.training.model[6].register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    training_step(state, tiny_recipe(batch=4, amp=True, bfloat16=True), batch())
    assert seen == [torch.bfloat16]


def test_mixed_precision_without_bfloat16_leaves_a_cpu_alone(tiny_recipe: Tiny) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU, and amp is for it")
    assert after_steps(tiny_recipe(batch=4, amp=True))[1] == after_steps(tiny_recipe(batch=4))[1]


@pytest.mark.slow  # the compiler takes half a minute
@pytest.mark.filterwarnings("default")  # torch's compiler warns of itself
def test_a_compiled_network_is_the_same_training(tiny_recipe: Tiny) -> None:
    plain, told = after_steps(tiny_recipe(batch=4, optimiser="sgd", **HARD))
    state, terms = after_steps(tiny_recipe(batch=4, optimiser="sgd", compile=True, **HARD))
    require_close(state, plain, 1e-5)  # fused loops sum float32 in another order
    for step in range(3):
        assert terms[step] == pytest.approx(told[step], rel=1e-5)
    assert "_orig_mod" not in "".join(state.training.state_dict())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0  # it was compiled


def test_no_compiler_is_told_before_any_step(tiny_recipe: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("on a GPU it is Triton that compiles")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(Unavailable, match="torch.compile needs no-such-compiler, which is not there. Install it"):
        new_state(tiny_recipe(compile=True), TASK)


def test_a_gpu_needs_a_c_compiler_and_pythons_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda = torch.device("cuda")
    monkeypatch.setattr(objective, "find_spec", lambda name: object())  # Triton is there
    monkeypatch.setattr(objective.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(Unavailable, match="torch.compile needs no-such-compiler, which is not there"):
        require_compiler(cuda)
    monkeypatch.setenv("CC", sys.executable)
    with pytest.raises(Unavailable, match=r"triton needs Python.h, which is not there.*python3-dev"):
        require_compiler(cuda)
    (tmp_path / "Python.h").touch()
    require_compiler(cuda)


def test_workers_whose_batches_do_not_fit_are_refused(
    tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 64 << 20  # that of a container
    monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    large = tiny_recipe(workers=8, batch=8, crop=(512, 1024))  # 2 * 8 * 8 * 512 * 1024 * 20 bytes
    with pytest.raises(Unavailable, match=r"64 MiB free.* 8 workers keep up to 1280 MiB .* --shm-size 2g"):
        train(large, tiny_dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    require_shared_memory(tiny_recipe(workers=0, batch=8, crop=(512, 1024)))
    free = 1280 << 20
    require_shared_memory(large)


@pytest.mark.parametrize(
    "switches",
    [
        pytest.param({"ema": 0.9, "channels_last": True, "accumulate": 2}, id="ema, channels last, accumulate"),
        pytest.param({"amp": True, "bfloat16": True, "optimiser": "sgd"}, id="bfloat16"),
        pytest.param({"compile": True}, id="compile", marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("default")  # torch's compiler warns of itself
def test_a_training_with_switches_goes_on_bit_for_bit(
    tiny_recipe: Tiny, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switches: dict[str, Any]
) -> None:
    recipe = tiny_recipe(steps=10, evaluate_every=4, batch=4, **switches)
    train(recipe, tiny_dataset, tmp_path / "whole")
    step = loop.training_step

    def interrupted_at_step_6(state: TrainingState, *rest: Any) -> dict[str, float]:
        if state.step == 6:
            raise KeyboardInterrupt
        return step(state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "training_step", interrupted_at_step_6)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tiny_dataset, tmp_path / "killed")
    train(recipe, tiny_dataset, tmp_path / "killed", resume=True)
    for result in ("weights.safetensors", "last.safetensors", "metrics.jsonl"):
        assert (tmp_path / "killed" / result).read_bytes() == (tmp_path / "whole" / result).read_bytes()


def test_what_cannot_be_switched_is_told(tiny_recipe: Tiny) -> None:
    faulty = tiny_recipe(ema=1.0, bfloat16=True, batch=6, accumulate=4)
    with pytest.raises(BadInput) as caught:
        require_usable(faulty)
    assert [line.strip() for line in str(caught.value).splitlines()[1:-1]] == [
        "ema: expected 0 to below 1, got 1.0",
        "bfloat16: expected false, or true with amp: it is mixed precision, got True",
        "batch: 6 is no multiple of 1 process(es) x accumulate 4",
    ]
    require_usable(tiny_recipe(batch=8), processes=4)
    with pytest.raises(BadInput, match=r"batch: expected 16 or more, 2 for each of 4 process\(es\) x accumulate 2"):
        require_usable(tiny_recipe(batch=8, accumulate=2), processes=4)
    with pytest.raises(BadInput, match="accumulate: expected 1 or more, got 0"):
        require_usable(tiny_recipe(accumulate=0))


def test_parameters_that_no_output_needs_are_found(tiny_recipe: Tiny) -> None:
    training = new_state(tiny_recipe(**HARD), TASK).training
    assert unused_parameters(training) == []
    statistics = training.model[1].running_mean.clone()
    training.model.spare = nn.Conv2d(3, 3, 1)
    training.model.forward = lambda images_BCHW: nn.Sequential(*list(training.model)[:-1])(images_BCHW)
    assert unused_parameters(training) == ["model.spare.weight", "model.spare.bias"]
    assert torch.equal(training.model[1].running_mean, statistics)
    assert training.training
