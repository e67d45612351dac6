"""What others take of the machine: counted from the kernel's counters, and from a real process."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hardedge.contracts import MachineLoad
from hardedge.deploy.latency import machine_load, paired_runs
from hardedge.deploy.latency.machine_load import busy_reason, watch_load

SPIN = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"


def load(before: float, during: float, after: float, cores: int = 4) -> MachineLoad:
    return MachineLoad(cores=cores, before=before, during=during, after=after)


@pytest.mark.parametrize(
    ("seen", "judged"),
    [
        (load(0, 0.9, 0), True),
        (load(1.1, 0, 0), False),
        (load(0, 1.1, 0), False),
        (load(0, 0, 1.1), False),
        (load(1.1, 1.1, 1.1, cores=8), True),
        (None, True),
    ],
)
def test_a_quarter_of_the_cores_is_too_much(seen: MachineLoad | None, judged: bool) -> None:
    reason = busy_reason(seen)
    assert (reason is None) == judged
    if reason:
        assert reason.startswith("not judged: other processes kept")
        assert reason.endswith("more than 1; measure again on a quiet machine")


def test_a_reading_is_the_kernels_counters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """user, nice, system, idle, iowait, irq, softirq, steal in hundredths of a second; guests are in user already."""
    stat = tmp_path / "stat"
    monkeypatch.setattr(machine_load, "_STAT", stat)
    monkeypatch.setattr(machine_load.os, "sysconf", lambda _: 100)
    stat.write_text("cpu  100 20 30 5000 600 7 8 35 99 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n")
    found = machine_load._read()
    assert found is not None
    assert (found.busy, found.cores) == (pytest.approx(2.0), 2)
    stat.write_text("nothing of the kind\n")
    assert machine_load._read() is None
    with watch_load(window=0) as watch:
        pass
    assert watch.load is None


@pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="no /proc/stat")
def test_another_process_is_seen_and_this_one_is_not() -> None:
    """Others may be busy too: what is asked for is the difference that one spinning process makes."""
    other = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        with watch_load() as watch:
            end = time.process_time() + 0.3
            while time.process_time() < end:
                pass
    finally:
        other.kill()
        other.wait()
    assert watch.load is not None
    assert watch.load.during > 0.2
    assert watch.load.during <= watch.load.cores


def test_no_comparison_is_judged_on_a_busy_machine(
    loaded: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def synthetic(*_: object) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        pairs = [0.01 * np.exp(rng.normal(0, 0.001, (20, 2, 2))) for _ in range(8)]
        for times in pairs:
            times[:, 1] *= 1.3
        return pairs

    monkeypatch.setattr(paired_runs, "paired_times", synthetic)
    arms = (object(), object(), np.zeros((1, 4, 4, 3), np.uint8))
    quiet = paired_runs.compare_runners(*arms, 1, arm="")  # type: ignore[arg-type]
    loaded(0.0, 2.0, 0.0)
    busy = paired_runs.compare_runners(*arms, 1, arm="")  # type: ignore[arg-type]
    assert (quiet.status, busy.status) == ("different", "inconclusive")
    assert "other processes kept 0.0 of 4 cores busy before it, 2.0 during it" in busy.detail
    assert busy.load == load(0, 2, 0)
    assert (quiet.ratio, quiet.interval) == (busy.ratio, busy.interval)
