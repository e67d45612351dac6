"""Ray: a cluster to connect to, or one of this machine that ends with the run; quiet, with bounded memory."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

from hardedge.console import spinner
from hardedge.deploy.machine import usable_cores
from hardedge.errors import Unavailable, first_line, missing_extra

LOCAL: Final = "local"
START: Final = "Start one with `ray start --head`, or give --ray local."
OBJECT_STORE: Final = 512 << 20  # bytes; paths and counts are all that it holds
QUIET: Final = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # of what is printed; what ends a run is raised
    "RAY_agent_register_timeout_ms": "120000",  # a busy machine is slow to start
}
LOOPBACK: Final = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # Ray's name for: no port is open to other machines


def require_ray() -> None:
    """Raises Unavailable without the extra."""
    try:
        installed = find_spec("ray") is not None
    except ValueError:  # what find_spec says of a module that was taken out
        installed = False
    if not installed:
        raise missing_extra("ray", "ray")


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster, quiet; a local one ends with the block."""
    for name, value in (QUIET | (LOOPBACK if address == LOCAL else {})).items():
        os.environ.setdefault(name, value)
    import ray
    import ray.data

    own: dict[str, Any] = {"num_cpus": usable_cores(), "object_store_memory": OBJECT_STORE, "include_dashboard": False}
    try:
        with spinner("starting Ray" if address == LOCAL else f"connecting to Ray at {address}"):
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(own if address == LOCAL else {}))
    except Exception as error:  # Ray raises many kinds, Exception itself among them
        fix = "Try again when the machine is less busy." if address == LOCAL else START
        raise Unavailable(f"no Ray cluster at {address} ({first_line(error)}). {fix}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    try:
        yield ray
    finally:
        ray.shutdown()


def require_reachable(address: str) -> None:
    """Raises Unavailable where nothing answers at HOST:PORT: Ray itself would ask for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise Unavailable(f"no Ray cluster at {address} ({first_line(error)}). {START}") from None
