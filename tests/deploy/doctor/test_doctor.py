"""`hardedge doctor` on described machines, and on this one.

`machines/no_gpu.json` was recorded; no other of these machines was at hand, so their descriptions are written after
what NVIDIA documents of them, in the form that `hardedge doctor --json` tells under `machine`.
"""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hardedge.contracts import BuildOptions, Engine, Profile, read_json
from hardedge.deploy.doctor.doctor import diagnose, diagnosis_text, engine_in
from hardedge.deploy.doctor.finding import MachineFinding
from hardedge.deploy.doctor.machine_description import (
    Gpu,
    MachineDescription,
    describe_machine,
    import_all,
    in_container,
    query_gpus,
)
from hardedge.deploy.engines.build import build
from hardedge.errors import BadInput

Program = Callable[..., subprocess.CompletedProcess[str]]
MACHINES = {path.stem: path for path in sorted((Path(__file__).parent / "machines").glob("*.json"))}
SIZE = Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(2, 128, 192))
ONE_ONNXRUNTIME = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
NVIDIA_RUNTIME = "docker run --runtime nvidia ..."
DRIVER = "sudo apt-get install nvidia-driver-580 && sudo reboot"


def machine(name: str) -> MachineDescription:
    return read_json(MachineDescription, MACHINES[name])


def engine(target: str, version: str = "10.13.3.9", *, compatible: bool = False, dla: int | None = None) -> Engine:
    builder = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}.get(target.split(":")[0], "onnxruntime")
    return Engine(
        schema_id=Engine.SCHEMA,
        hardedge="0",
        made_from=None,
        files={},
        target=target,
        precision="fp16",
        plan="model.plan",
        onnx_digest="0" * 64,
        builder=builder,
        builder_version=version,
        profiles=(SIZE,),
        seconds=1.0,
        options=BuildOptions(version_compatible=compatible, dla=dla),
    )


def obstacles(name: str, wanted: Engine | None = None) -> list[tuple[str, str | None]]:
    return [(finding.topic, finding.fix) for finding in diagnose(machine(name), wanted).obstacles]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("orin_jetpack6", []),
        ("agx_orin_jetpack7", []),
        ("thor_jetpack7", []),
        ("t4", []),
        ("rtx4090", []),
        ("no_gpu", []),
        ("h100", [("cuda-python", "pip install cuda-python")]),
        ("old_driver", [("cuda", DRIVER)]),
        ("container_without_gpu", [("driver", "docker run --gpus all ...")]),
        ("gtx1080", [("compute capability", "hardedge deploy BUNDLE --data DATA --out DIR --target onnxruntime:cuda")]),
        ("mismatch", [("driver", "sudo reboot")]),
        (
            "two_onnxruntimes",
            [("onnxruntime", ONE_ONNXRUNTIME)],
        ),
        (
            "orin_pip_tensorrt",
            [
                ("cuda", "pip uninstall -y cuda-bindings tensorrt-cu13 && pip install 'cuda-python<13'"),
                ("tensorrt", "pip uninstall -y tensorrt && sudo apt-get install --reinstall python3-libnvinfer"),
            ],
        ),
        ("orin_wrong_python", [("tensorrt", "python3.10 -m venv --system-site-packages .venv")]),
        # libnvdla and the GPU come from the host: nothing inside the container brings them
        ("orin_container", [("gpu", NVIDIA_RUNTIME), ("tensorrt", NVIDIA_RUNTIME)]),
        ("cuda12_container", []),
    ],
)
def test_the_obstacles_of_each_machine(name: str, expected: list[tuple[str, str]]) -> None:
    assert obstacles(name) == expected


def test_every_described_machine_is_tested() -> None:
    assert len(MACHINES) >= 12
    for name in MACHINES:
        diagnosis = diagnose(machine(name))
        assert {finding.topic for finding in diagnosis.findings} & {"gpu", "driver", "jetpack"}, name


BUILD = "hardedge deploy BUNDLE --data DATA --out DIR --target"


@pytest.mark.parametrize(
    ("name", "wanted", "expected"),
    [
        ("t4", engine("tensorrt"), []),
        ("t4", engine("tensorrt", "10.16.1.11"), [("tensorrt", "pip install tensorrt==10.16.1.11")]),
        # a version-compatible plan runs on a later version of the same major, not on an earlier one
        ("rtx4090", engine("tensorrt", "10.13.3.9", compatible=True), []),
        ("t4", engine("tensorrt", "10.16.1.11", compatible=True), [("tensorrt", "pip install tensorrt==10.16.1.11")]),
        # 10's run on 11 too (support matrix of 11.4.1); none of an earlier or of a later major does
        ("agx_orin_jetpack7", engine("tensorrt", "10.3.0", compatible=True), []),
        ("agx_orin_jetpack7", engine("tensorrt", "10.3.0"), [("tensorrt", f"{BUILD} tensorrt")]),
        ("agx_orin_jetpack7", engine("tensorrt", "8.6.1", compatible=True), [("tensorrt", f"{BUILD} tensorrt")]),
        ("orin_jetpack6", engine("tensorrt", "11.4.1", compatible=True), [("tensorrt", f"{BUILD} tensorrt")]),
        # DLA cores: AGX Orin has them, Thor has none
        ("agx_orin_jetpack7", engine("tensorrt", "11.4.1.3", dla=0), []),
        ("thor_jetpack7", engine("tensorrt", "11.4.1.3", dla=0), [("tensorrt", f"{BUILD} tensorrt")]),
        # onnxruntime-gpu has wheels for ARM now, but not for JetPack 6
        (
            "thor_jetpack7",
            engine("onnxruntime:cuda"),
            [("onnxruntime", "pip uninstall -y onnxruntime && pip install onnxruntime-gpu")],
        ),
        # a Jetson's TensorRT is its JetPack's: the engine is built again
        ("orin_jetpack6", engine("tensorrt"), [("tensorrt", f"{BUILD} tensorrt")]),
        ("rtx4090", engine("tensorrt-rtx:sm89", "1.7.1.116"), []),
        ("rtx4090", engine("tensorrt-rtx:sm86", "1.7.1.116"), [("compute capability", f"{BUILD} tensorrt-rtx:sm89")]),
        ("t4", engine("tensorrt-rtx:sm75", "1.7.1.116"), [("tensorrt-rtx", "pip install tensorrt_rtx")]),
        ("no_gpu", engine("onnxruntime:cpu"), []),
        # what keeps TensorRT from running does not keep onnxruntime
        ("h100", engine("onnxruntime:cpu"), []),
        ("old_driver", engine("onnxruntime:cpu"), []),
        ("mismatch", engine("onnxruntime:cpu"), []),
        ("gtx1080", engine("onnxruntime:cuda"), []),
        ("h100", engine("onnxruntime:tensorrt"), []),
        ("old_driver", engine("onnxruntime:cuda"), [("cuda", DRIVER)]),
        ("cuda12_container", engine("onnxruntime:cuda"), [("onnxruntime", "pip install 'onnxruntime-gpu<1.27'")]),
        ("cuda12_container", engine("tensorrt"), []),
        ("two_onnxruntimes", engine("onnxruntime:cpu"), [("onnxruntime", ONE_ONNXRUNTIME)]),
        (
            "no_gpu",
            engine("tensorrt"),
            [("gpu", f"{BUILD} onnxruntime:cpu"), ("tensorrt", "pip install 'hardedge[tensorrt]'")],
        ),
        (
            "orin_jetpack6",
            engine("onnxruntime:cuda"),
            # no onnxruntime-gpu on PyPI for JetPack 6: uninstalling the other would leave none
            [("onnxruntime", f"{BUILD} tensorrt")],
        ),
        (
            "h100",
            engine("tensorrt-rtx:sm89", "1.7.1.116"),
            [
                ("tensorrt-rtx", "pip install tensorrt_rtx"),
                ("cuda-python", "pip install cuda-python"),
                ("compute capability", f"{BUILD} tensorrt"),
            ],
        ),
    ],
)
def test_what_an_engine_needs(name: str, wanted: Engine, expected: list[tuple[str, str]]) -> None:
    assert sorted(obstacles(name, wanted)) == sorted(expected)


def test_an_engine_without_its_gpus_name_is_noted_unless_every_gpu_runs_it() -> None:
    said = [each.found for each in diagnose(machine("t4"), engine("tensorrt")).findings if each.status == "note"]
    assert any("does not say on which GPU it was built" in found for found in said)
    compatible = dataclasses.replace(engine("tensorrt"), options=BuildOptions(hardware_compatible=True))
    for other in (compatible, engine("onnxruntime:cuda"), engine("tensorrt-rtx:sm75"), None):
        assert not any("on which GPU" in each.found for each in diagnose(machine("t4"), other).findings)


def notes(machine: MachineDescription) -> dict[str, str | None]:
    return {each.topic: each.fix for each in diagnose(machine).findings if each.status == "note"}


def test_a_container_is_told_what_it_was_not_given() -> None:
    told = notes(machine("cuda12_container"))
    assert told["directory"] == "docker run --user $(id -u):$(id -g) -v $PWD:/work ..."
    assert told["shared memory"] == "docker run --shm-size 8g ..."
    assert told["onnxruntime"] == "pip install 'onnxruntime-gpu<1.27'"
    outside = notes(dataclasses.replace(machine("cuda12_container"), container=False))
    assert not {"directory", "shared memory"} & outside.keys()
    larger = dataclasses.replace(machine("cuda12_container"), shared_memory=8192, writable=True)
    assert not {"directory", "shared memory"} & notes(larger).keys()


def test_a_jetsons_container_has_its_gpu_group_and_release_from_the_host() -> None:
    bare = machine("orin_container")
    assert notes(bare)["jetpack"] == "docker run -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro ..."
    given = dataclasses.replace(bare, nvmap=True, render=False, l4t="36.4.3", imports=machine("orin_jetpack6").imports)
    (closed,) = diagnose(given).obstacles
    assert (closed.topic, closed.fix) == (
        "gpu",
        "docker run --runtime nvidia --group-add $(stat -c %g /dev/dri/renderD128) ...",
    )
    assert not diagnose(dataclasses.replace(given, render=True)).obstacles


def test_a_driver_that_is_too_old_for_onnxruntimes_cuda() -> None:
    t4 = dataclasses.replace(machine("t4"), onnxruntime_cuda="13.0")
    assert [each.fix for each in diagnose(t4, engine("onnxruntime:cuda")).obstacles] == [
        "pip install 'onnxruntime-gpu<1.27'"
    ]
    assert not diagnose(machine("t4"), engine("onnxruntime:cuda")).obstacles


def test_tensorrt_inside_onnxruntime_needs_tensorrt() -> None:
    t4 = machine("t4")
    without = dataclasses.replace(t4, imports={"onnxruntime": t4.imports["onnxruntime"]})
    found = diagnose(without, engine("onnxruntime:tensorrt")).obstacles
    assert [(each.topic, each.fix) for each in found] == [("tensorrt", "pip install 'hardedge[tensorrt]'")]
    assert not diagnose(without, engine("onnxruntime:cuda")).obstacles


def test_the_text_names_found_and_cure_and_ends_with_the_count() -> None:
    text = diagnosis_text(diagnose(machine("old_driver")))
    assert (
        "OBSTACLE  cuda: driver 470.256.02 knows CUDA 11.4, but cuda-bindings, tensorrt-cu12 need CUDA 12: "
        "driver 525.60.13 or newer\n            sudo apt-get install nvidia-driver-580 && sudo reboot\n1 obstacle."
    ) in text
    assert diagnosis_text(diagnose(machine("no_gpu"))).endswith("Nothing keeps what is installed from running here.")


def test_every_obstacle_has_a_cure_whatever_is_missing() -> None:
    """Each fact of the best machine taken away in turn: told with a fix, and never a crash."""
    whole = machine("rtx4090")
    taken = {"driver": None, "gpus": (), "packages": {}, "imports": {}, "providers": (), "cuda": None, "pci": None}
    broken = 0
    for field, value in taken.items():
        for wanted in (None, engine("tensorrt", "10.16.1.11"), engine("onnxruntime:cuda")):
            found = diagnose(dataclasses.replace(whole, **{field: value}), wanted)
            broken += len(found.obstacles)
            assert all(finding.fix for finding in found.obstacles), field
            assert diagnosis_text(found)
    assert broken >= 8


def smi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_gpus_are_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, 'echo "Tesla T4, 15360, 570.172.08, 7.5"\necho "Orin (nvgpu), [N/A], 540.4.0, [N/A]"', monkeypatch)
    found = query_gpus()
    assert (found.driver, found.fault) == ("570.172.08", None)
    assert found.gpus == (
        Gpu(name="Tesla T4", capability="7.5", memory=15360),
        Gpu(name="Orin (nvgpu)", capability=None, memory=None),
    )


def test_an_old_nvidia_smi_is_asked_without_the_field_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = 'case "$1" in *compute_cap*) echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2;; esac'
    smi(tmp_path, f'{refusal}\necho "Tesla T4, 15109, 418.226.00"', monkeypatch)
    assert query_gpus().gpus == (Gpu(name="Tesla T4", capability=None, memory=15109),)


def test_what_nvidia_smi_says_instead_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    smi(tmp_path, f'echo "{said}"\nexit 9', monkeypatch)
    assert (query_gpus().driver, query_gpus().fault) == (None, said)


def test_a_container_is_known_by_its_files_or_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("container", raising=False)
    assert not in_container(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.containerenv").touch()
    assert in_container(tmp_path)
    monkeypatch.setenv("container", "podman")
    assert in_container(tmp_path / "elsewhere")


def test_a_jetsons_files_and_the_bus_are_read(tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson AGX Orin Developer Kit\x00")
    (tmp_path / "etc").mkdir()
    release = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
    (tmp_path / "etc/nv_tegra_release").write_text(release)
    for name, vendor, kind in (("0000:00", "0x10de", "0x060400"), ("0000:01", "0x8086", "0x030000")):
        (tmp_path / "sys/bus/pci/devices" / name).mkdir(parents=True)
        (tmp_path / "sys/bus/pci/devices" / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / "sys/bus/pci/devices" / name / "class").write_text(f"{kind}\n")
    (tmp_path / "usr/local/cuda").mkdir(parents=True)
    version = {"cuda": {"name": "CUDA SDK", "version": "12.6.11"}, "cuda_nvcc": {"version": "12.6.1"}}
    (tmp_path / "usr/local/cuda/version.json").write_text(json.dumps(version, indent=3))
    found = describe_machine(tmp_path)
    assert (found.cuda_libraries, found.nvmap, found.render, found.shared_memory) == ("12.6.11", False, None, None)
    assert (found.jetson, found.l4t, found.pci) == ("NVIDIA Jetson AGX Orin Developer Kit", "36.4.3", False)
    (tmp_path / "sys/bus/pci/devices/0000:00/class").write_text("0x030200\n")
    assert describe_machine(tmp_path).pci is True


def test_a_module_that_breaks_at_import_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash, refuse = tmp_path / "tensorrt", tmp_path / "tensorrt_rtx"
    for folder, code in (
        (crash, "import os; os.kill(os.getpid(), 11)"),
        (refuse, "raise ImportError('libnvinfer.so.10: cannot open shared object file')"),
    ):
        folder.mkdir()
        (folder / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    imports, _ = import_all()
    assert imports["tensorrt"].error == "the import was ended by signal 11"
    assert str(imports["tensorrt_rtx"].error).endswith("libnvinfer.so.10: cannot open shared object file")
    broken = dataclasses.replace(machine("rtx4090"), imports={**machine("rtx4090").imports, **imports})
    fixes = {finding.topic: finding.fix for finding in diagnose(broken).obstacles}
    assert fixes["tensorrt"] == "pip install --force-reinstall 'hardedge[tensorrt]'"


def test_this_machine_is_described_and_diagnosed(hardedge: Program) -> None:
    done = hardedge("doctor", "--json")
    told = json.loads(done.stdout)
    assert told["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["machine"]["imports"]["onnxruntime"]["error"] is None
    assert re.fullmatch(r"1[23]\.\d+", told["machine"]["onnxruntime_cuda"])
    assert told["machine"]["writable"] is True
    assert done.returncode == (3 if any(each["status"] == "obstacle" for each in told["findings"]) else 0)


def test_the_command_takes_bundles_and_engines(shared_bundle: Path, tmp_path: Path, hardedge: Program) -> None:
    build(shared_bundle, "onnxruntime:cpu", tmp_path / "engine")
    done = hardedge("doctor", tmp_path / "engine")
    assert "Nothing keeps onnxruntime:cpu from running here." in done.stdout or done.returncode == 3
    assert engine_in(shared_bundle) is None
    with pytest.raises(BadInput, match="neither engine.json nor bundle.json"):
        engine_in(tmp_path)
    assert hardedge("doctor", tmp_path).returncode == 2


def test_findings_are_a_contract() -> None:
    """A field that a description does not have is refused, so that recorded machines stay whole."""
    from hardedge.contracts import parse_json

    with pytest.raises(BadInput, match="not a valid machinefinding"):
        parse_json(MachineFinding, b'{"topic": "a", "status": "ok", "found": "b", "colour": 1}', "finding")
