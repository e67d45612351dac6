"""The engine builder, run as a process of its own: `python -m hardedge.deploy.tensorrt.build_process JOB`.

Polygraphy chooses between TensorRT and TensorRT-RTX by an environment variable at import, so one process has one of
them; and whatever a builder does (crash, print, keep memory) ends with its process.
"""

import json
import sys
from pathlib import Path
from typing import Any

from hardedge.deploy.tensorrt.builder import LACKING, PROGRESS


def main(job: dict[str, Any]) -> None:
    """Writes one plan a device into the job's folder; the last line of stdout tells the version and the seconds."""
    import time

    import polygraphy.backend.trt as polygraphy_trt
    from polygraphy.logger import G_LOGGER

    from hardedge.contracts import BuildOptions
    from hardedge.deploy.tensorrt.api import (
        configure_builder,
        installed_version,
        lacking_core,
        report_progress,
        set_target_device,
    )

    # errors only: they reach the user through the parent's message
    G_LOGGER.module_severity = G_LOGGER.ERROR
    options = BuildOptions(**job["options"])
    timings = job["timings"]
    seconds = {}
    for device in job["devices"]:
        began = time.perf_counter()

        def post(builder: Any, _network: Any, config: Any, device: str = device) -> None:
            if fault := lacking_core(builder, options):
                sys.exit(f"{LACKING}{fault}")
            set_target_device(config, job["builder"], device)
            configure_builder(config, job["builder"], options)
            report_progress(config, job["builder"], lambda share: _tell(device, share))

        loaded = timings if timings and Path(timings).is_file() else None
        config = polygraphy_trt.CreateConfig(
            profiles=[_profile(shapes) for shapes in job["profiles"]], load_timing_cache=loaded
        )
        network = polygraphy_trt.NetworkFromOnnxPath(job["onnx"], strongly_typed=True)
        plan = polygraphy_trt.EngineBytesFromNetwork(
            network, polygraphy_trt.PostprocessConfig(config, post), save_timing_cache=timings
        )()
        Path(job["folder"], f"{device}.plan").write_bytes(memoryview(plan))
        seconds[device] = time.perf_counter() - began
    print(json.dumps({"version": installed_version(job["builder"]), "seconds": seconds}))


def _tell(device: str, share: float) -> None:
    print(f"{PROGRESS}{json.dumps([device, round(share, 3)])}}}", flush=True)


def _profile(shapes: dict[str, list[int]]) -> Any:
    from polygraphy.backend.trt import Profile

    return Profile().add("image", **{name: (*shape, 3) for name, shape in shapes.items()})


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
