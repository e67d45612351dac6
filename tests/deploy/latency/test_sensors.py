"""Power, clocks, temperature, throttling: a recorded sysfs tree, a fake NVML, and words where none answers."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from hardedge.contracts import Sensors
from hardedge.deploy.latency.sensors import (
    NO_CPU_SENSOR,
    NO_SENSOR,
    Ina3221,
    Nvml,
    Reading,
    rails_of,
    sensor_for,
    sensor_text,
    watch_sensor,
)

# as an Orin Nano's kernel 5.15 shows them
ORIN_NANO = {
    "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in1_label": "VDD_IN",
    "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in1_input": "5032",
    "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_input": "1208",
    "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_max_alarm": "0",
    "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV",
    "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in2_input": "5024",
    "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr2_input": "400",
    "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in7_label": "sum of shunt voltages",
    "class/devfreq/15340000.vic/cur_freq": "115200000",
    "class/devfreq/17000000.gpu/cur_freq": "624750000",
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone0/temp": "51250",
    "class/thermal/thermal_zone1/type": "gpu-thermal",
    "class/thermal/thermal_zone1/temp": "49500",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def rails(*labels: str) -> dict[str, str]:
    """Two chips of three channels each at most, 5 V and 100 mA, 200 mA ..."""
    files = {}
    for number, label in enumerate(labels):
        folder = f"bus/i2c/drivers/ina3221/1-004{number // 3}/hwmon/hwmon{number // 3}"
        channel = number % 3 + 1
        files[f"{folder}/in{channel}_label"] = label
        files[f"{folder}/in{channel}_input"] = "5000"
        files[f"{folder}/curr{channel}_input"] = str(100 * (number + 1))
    return files


@pytest.fixture
def no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def test_the_boards_input_is_read(tmp_path: Path, no_nvml: None) -> None:
    for target in ("onnxruntime:cpu", "tensorrt"):
        sensor = sensor_for(target, tree(tmp_path, ORIN_NANO))
        assert isinstance(sensor, Ina3221)
        assert sensor.name == "INA3221, VDD_IN"
        found = sensor.read()
        assert found.power == pytest.approx(5.032 * 1.208)
        assert (found.clock, found.temperature, found.throttled) == (624.75, 49.5, frozenset())


def test_a_current_alarm_is_a_lowered_clock(tmp_path: Path) -> None:
    files = ORIN_NANO | {"bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_max_alarm": "1"}
    sys_folder = tree(tmp_path, files)
    assert Ina3221(rails_of(sys_folder), sys_folder).read().throttled == {"VDD_IN above its current limit"}


@pytest.mark.parametrize(
    ("labels", "used", "watts"),
    [
        (("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"), 3, 0.5 + 1.0 + 1.5),
        (("GPU", "CPU"), 2, 0.5 + 1.0),
    ],
)
def test_without_an_input_rail_rails_are_added(
    labels: tuple[str, ...], used: int, watts: float, tmp_path: Path
) -> None:
    sys_folder = tree(tmp_path, rails(*labels))
    sensor = Ina3221(rails_of(sys_folder), sys_folder)
    assert sensor.name == f"INA3221, {' + '.join(labels[:used])}"
    assert sensor.read() == Reading(power=pytest.approx(watts))


@pytest.mark.parametrize("text", ["", "no number"])
def test_what_cannot_be_read_is_no_reading(text: str, tmp_path: Path, no_nvml: None) -> None:
    files = ORIN_NANO | {"bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_input": text}
    assert sensor_for("tensorrt", tree(tmp_path, files)) == NO_SENSOR


def test_without_a_sensor_the_words_say_so(tmp_path: Path, no_nvml: None) -> None:
    assert sensor_for("tensorrt", tmp_path) == NO_SENSOR
    assert sensor_for("onnxruntime:cpu", tmp_path) == NO_CPU_SENSOR
    with watch_sensor(NO_SENSOR) as watch:
        pass
    found = watch.summary()
    assert (found.power, found.clock, found.readings) == (None, None, 0)
    assert sensor_text(found) == NO_SENSOR
    assert NO_SENSOR.startswith("not measured: no sensor")


class NvmlError(Exception):
    pass


def fake(power: Callable[[object], int], reasons: int = 0) -> SimpleNamespace:
    return SimpleNamespace(
        NVMLError=NvmlError,
        NVML_CLOCK_SM=1,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: f"gpu {index}",
        nvmlDeviceGetPowerUsage=power,
        nvmlDeviceGetClockInfo=lambda gpu, kind: 1980 if (gpu, kind) == ("gpu 0", 1) else 0,
        nvmlDeviceGetTemperature=lambda gpu, kind: 63,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda gpu: reasons,
    )


def refused(gpu: object) -> int:
    raise NvmlError("not supported")


def test_nvml_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # idle and a clock that the user set are no throttling
    monkeypatch.setitem(sys.modules, "pynvml", fake(lambda gpu: 71500, reasons=0x1 | 0x2 | 0x4 | 0x40))
    sensor = sensor_for("onnxruntime:cuda", tmp_path)
    assert isinstance(sensor, Nvml)
    throttled = frozenset({"software power cap", "hardware thermal slowdown"})
    assert sensor.read() == Reading(71.5, 1980, 63, throttled)
    assert sensor_for("onnxruntime:cpu", tmp_path) == NO_CPU_SENSOR


def test_where_nvml_has_no_power_the_board_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake(refused))
    assert sensor_for("tensorrt", tmp_path / "empty") == NO_SENSOR
    assert isinstance(sensor_for("tensorrt", tree(tmp_path, ORIN_NANO)), Ina3221)
    assert Nvml(fake(refused)).read() == Reading(None, 1980, 63)  # type: ignore[arg-type]


def test_the_installed_nvml_has_what_is_asked() -> None:
    pynvml = pytest.importorskip("pynvml")
    for name in vars(fake(refused)):
        assert hasattr(pynvml, name), name


class Rising:
    """A sensor that gets warmer with every look."""

    name = "fake"

    def __init__(self) -> None:
        self.looks = 0

    def read(self) -> Reading:
        self.looks += 1
        throttled = frozenset({"heat"}) if self.looks > 2 else frozenset[str]()
        return Reading(power=10.0 * self.looks, clock=1000.0 - self.looks, temperature=None, throttled=throttled)


def test_a_run_is_watched_from_its_beginning_to_its_end() -> None:
    sensor = Rising()
    with watch_sensor(sensor, interval=0.001) as watch:
        deadline = time.monotonic() + 300
        while sensor.looks < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
    found, looks = watch.summary(), sensor.looks
    assert found.readings == looks >= 4
    assert found.power == pytest.approx(10 * (looks + 1) / 2)
    assert found.clock == (1000 - looks, 999)
    assert (found.temperature, found.throttled) == (None, ("heat",))
    time.sleep(0.01)
    assert sensor.looks == looks


def test_a_failed_run_ends_the_watch() -> None:
    sensor = Rising()

    def run() -> None:
        with watch_sensor(sensor, interval=60):
            raise ValueError("device lost")

    with pytest.raises(ValueError, match="device lost"):
        run()
    assert sensor.looks == 2


def test_what_sensors_said_in_words() -> None:
    found = Sensors(
        source="NVML", readings=3, power=71.52, clock=(1200, 1980), temperature=(60, 63), throttled=("power cap",)
    )
    assert sensor_text(found) == "71.5 W, 1200 to 1980 MHz, 60 to 63 °C, clock lowered: power cap (NVML)"
