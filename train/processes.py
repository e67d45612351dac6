"""The processes that train together: who they are, what they agree on, and what the first does for all."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from hardedge.artefact import disk_errors
from hardedge.errors import BadInput, HardedgeError, ReportedElsewhere, Unavailable

# longer than one process may have to work while the others wait: a state to write, the maps of a training split
TIMEOUT = timedelta(hours=6)

T = TypeVar("T")


@contextmanager
def process_group() -> Iterator[None]:
    """The processes that torchrun started, as one group while the block runs; one process alone is left alone.

    Each takes the GPU of its number on its machine, if there are any. Raises BadInput when there are fewer GPUs than
    processes, and Unavailable in each process that loses another: its connection breaks, or TIMEOUT passes.
    """
    if distributed.is_initialized() or not distributed.is_torchelastic_launched():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(_own_gpu())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        raise _lost_process_error(error) from error
    finally:
        distributed.destroy_process_group()


def _own_gpu() -> int:
    place, gpus = distributed.get_node_local_rank(), torch.cuda.device_count()
    if place >= gpus:
        raise BadInput(
            f"torchrun started process {place} on this machine, counted from 0, but it has {gpus} GPU(s). "
            f"Give --nproc-per-node {gpus}."
        )
    return place


def _is_loss(error: RuntimeError) -> bool:
    """Gloo's errors have no type of their own."""
    kinds = (distributed.DistError, distributed.DistBackendError, distributed.DistNetworkError)
    return isinstance(error, kinds) or "gloo" in str(error)


def _lost_process_error(error: RuntimeError) -> Unavailable:
    reason = str(error).splitlines()[0]
    return Unavailable(
        f"process {process_rank()} of {process_count()} (counted from 0) lost another process of this training "
        f"({reason}). "
        "If that one failed it says why. Start all of them again with --resume."
    )


def process_count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def process_rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_rank_zero() -> bool:
    """Whether this process is the one that writes."""
    return process_rank() == 0


def shard_items(items: Sequence[T]) -> Sequence[T]:
    """Every count()-th of the items: those of all processes are each item once."""
    return items[process_rank() :: process_count()]


def gather(item: T | None) -> list[T]:
    """What the processes have to tell, in their order; where none has anything, one small message is all it costs."""
    if process_count() == 1:
        return [] if item is None else [item]
    tellers = torch.tensor(int(item is not None))
    distributed.all_reduce(tellers)
    if not tellers:
        return []
    items: list[T | None] = [None] * process_count()
    distributed.all_gather_object(items, item)
    return [each for each in items if each is not None]


def raise_on_all(error: HardedgeError | None) -> None:
    """Raises in all processes when one of them has an error: the error in the first, ReportedElsewhere in the rest."""
    errors = gather(error)
    if errors:
        raise (
            errors[0] if is_rank_zero() else ReportedElsewhere("the first process of this training says what is wrong")
        )


def raise_together(work: Callable[[], T]) -> T:
    """What `work` gives in this process; an error of one is raised in all of them, so that none waits for it."""
    result: list[T] = []
    error = None
    try:
        with disk_errors():
            result.append(work())
    except HardedgeError as caught:
        error = caught
    raise_on_all(error)
    return result[0]


def on_rank_zero(work: Callable[[], T]) -> T:
    """What `work` gives in the first process, which alone does it; an error is raised in all."""
    if process_count() == 1:
        return work()
    found: list[Any] = [raise_together(work if is_rank_zero() else _nothing)]
    distributed.broadcast_object_list(found)
    result: T = found[0]
    return result


def _nothing() -> Any:
    return None


def sum_over_processes(value: Tensor) -> Tensor:
    """The value's sum over the processes, in place."""
    if process_count() > 1:
        distributed.all_reduce(value)
    return value


def mean_over_processes(value: Tensor) -> Tensor:
    """The value's mean over the processes, in place."""
    return sum_over_processes(value).div_(process_count())
