"""A machine whose load the tests know."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hardedge.contracts import MachineLoad
from hardedge.deploy.latency import paired_runs
from hardedge.deploy.latency.machine_load import LoadWatch


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what other processes take of four cores before, during and after every comparison."""

    def set_load(before: float, during: float, after: float) -> None:
        @contextmanager
        def watched() -> Iterator[LoadWatch]:
            yield LoadWatch(MachineLoad(cores=4, before=before, during=during, after=after))

        monkeypatch.setattr(paired_runs, "watch_load", watched)

    return set_load


@pytest.fixture(autouse=True)
def quiet(loaded: Callable[..., None]) -> None:
    """The machine that runs the tests may be busy: nothing else is, for these."""
    loaded(0.0, 0.1, 0.0)
