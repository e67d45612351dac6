"""Power, clock, temperature and throttling of the device while something runs: NVML, or Jetson's INA3221 in sysfs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Final, Protocol

from hardedge.contracts import Sensors
from hardedge.deploy.targets import on_nvidia, parse_target

INTERVAL: Final = 0.1  # seconds between two readings
NO_SENSOR: Final = "not measured: no sensor answers (NVML, or INA3221 in sysfs)"
NO_CPU_SENSOR: Final = "not measured: no sensor of the whole board (INA3221 in sysfs); NVML sees the GPU alone"
# bits of NVML's clock event reasons that lower a clock; idle, a display, and clocks that a user set are none
_THROTTLES: Final = {
    0x04: "software power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
# the whole module's input; where there is no such rail, what adds up to it (AGX Orin)
_WHOLE: Final = (("VDD_IN",), ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))
_GPU_CLOCKS: Final = (".gpu", ".ga10b", ".gv11b", ".gp10b")


@dataclass(frozen=True)
class Reading:
    """One look at a device: watts, MHz, °C, None for what does not answer; and what holds its clock down."""

    power: float | None = None
    clock: float | None = None
    temperature: float | None = None
    throttled: frozenset[str] = frozenset()


class Sensor(Protocol):
    """What can be read while something runs."""

    name: str

    def read(self) -> Reading:
        """The device now; never raises."""
        ...


class Nvml:
    """The first GPU through NVML. Newer GPUs average their power over a second: short runs blur."""

    name = "NVML, the GPU with its memory"

    def __init__(self, pynvml: ModuleType) -> None:
        self._nvml = pynvml
        pynvml.nvmlInit()
        self._gpu = pynvml.nvmlDeviceGetHandleByIndex(0)

    def read(self) -> Reading:
        nvml, gpu = self._nvml, self._gpu
        power = self._asked(lambda: nvml.nvmlDeviceGetPowerUsage(gpu))
        reasons = int(self._asked(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)) or 0)
        return Reading(
            power=None if power is None else power / 1000,
            clock=self._asked(lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)),
            temperature=self._asked(lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),
            throttled=frozenset(name for bit, name in _THROTTLES.items() if reasons & bit),
        )

    def _asked(self, question: Callable[[], float]) -> float | None:
        try:
            return float(question())
        except self._nvml.NVMLError:  # what this GPU or driver does not tell
            return None


@dataclass(frozen=True)
class Rail:
    """One channel of an INA3221: its label and the files of its millivolts, milliamperes and alarm."""

    label: str
    volts: Path
    amperes: Path
    alarm: Path

    def watts(self) -> float | None:
        volts, amperes = _number(self.volts), _number(self.amperes)
        return None if volts is None or amperes is None else volts * amperes / 1e6


class Ina3221:
    """A Jetson's power rails, its GPU's clock and temperature, as the kernel's drivers give them in sysfs."""

    def __init__(self, rails: Sequence[Rail], sys: Path) -> None:
        self._rails, self._sys = rails, sys
        self.name = f"INA3221, {' + '.join(rail.label for rail in rails)}"

    def read(self) -> Reading:
        watts = [rail.watts() for rail in self._rails]
        known = [value for value in watts if value is not None]
        alarms = (rail.label for rail in self._rails if _number(rail.alarm))
        clock, temperature = self._clock(), self._temperature()
        return Reading(
            power=sum(known) if len(known) == len(watts) else None,
            clock=None if clock is None else clock / 1e6,
            temperature=None if temperature is None else temperature / 1000,
            throttled=frozenset(f"{label} above its current limit" for label in alarms),
        )

    def _clock(self) -> float | None:
        devices = sorted((self._sys / "class/devfreq").glob("*/cur_freq"))
        return next((_number(path) for path in devices if path.parent.name.endswith(_GPU_CLOCKS)), None)

    def _temperature(self) -> float | None:
        zones = sorted((self._sys / "class/thermal").glob("thermal_zone*/type"))
        return next((_number(path.with_name("temp")) for path in zones if "gpu" in _text(path).lower()), None)


def rails_of(sys: Path) -> list[Rail]:
    """The rails whose sum is the whole module's power; all that there are where these have other names."""
    found = {}
    for label in sorted((sys / "bus/i2c/drivers/ina3221").glob("*/hwmon/hwmon*/in[1-3]_label")):
        folder, number = label.parent, label.name[2]
        files = (f"in{number}_input", f"curr{number}_input", f"curr{number}_max_alarm")
        found[_text(label)] = Rail(_text(label), *(folder / name for name in files))
    for names in _WHOLE:
        if set(names) <= found.keys():
            return [found[name] for name in names]
    return list(found.values())


def sensor_for(target: str, sys: Path = Path("/sys")) -> Sensor | str:
    """The sensor that sees what a target's runs take: of the GPU, or of the whole board; in words why there is none."""
    on_cpu = parse_target(target).device == "cpu"
    if on_nvidia(target):
        with suppress(Exception):  # no package, no driver, no GPU: NVML's errors exist only with its package
            import pynvml

            sensor = Nvml(pynvml)
            if sensor.read().power is not None:  # on Jetson NVML answers, but has no power
                return sensor
    rails = [rail for rail in rails_of(sys) if rail.watts() is not None]
    if rails:
        return Ina3221(rails, sys)
    return NO_CPU_SENSOR if on_cpu else NO_SENSOR


@dataclass
class Watch:
    """The readings of a run; `summary` once it has ended."""

    source: str
    readings: list[Reading] = field(default_factory=list)

    def summary(self) -> Sensors:
        powers = [each.power for each in self.readings if each.power is not None]
        return Sensors(
            source=self.source,
            readings=len(self.readings),
            power=sum(powers) / len(powers) if powers else None,
            clock=_ends([each.clock for each in self.readings]),
            temperature=_ends([each.temperature for each in self.readings]),
            throttled=tuple(sorted(frozenset[str]().union(*(each.throttled for each in self.readings)))),
        )


@contextmanager
def watch_sensor(sensor: Sensor | str, interval: float = INTERVAL) -> Iterator[Watch]:
    """Reads a sensor again and again beside what runs in the block, and before and after it in any case."""
    if isinstance(sensor, str):
        yield Watch(sensor)
        return
    watch, ended = Watch(sensor.name, [sensor.read()]), threading.Event()

    def reading() -> None:
        while not ended.wait(interval):
            watch.readings.append(sensor.read())

    thread = threading.Thread(target=reading, name="sensors", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
        watch.readings.append(sensor.read())


def sensor_text(found: Sensors) -> str:
    """What the sensors said, in one line."""
    parts = [
        f"{found.power:.1f} W" if found.power is not None else None,
        f"{found.clock[0]:.0f} to {found.clock[1]:.0f} MHz" if found.clock else None,
        f"{found.temperature[0]:.0f} to {found.temperature[1]:.0f} °C" if found.temperature else None,
        f"clock lowered: {', '.join(found.throttled)}" if found.throttled else None,
    ]
    said = ", ".join(part for part in parts if part)
    return f"{said} ({found.source})" if said else found.source


def _ends(values: Sequence[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
