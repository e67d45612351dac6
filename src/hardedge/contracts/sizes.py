"""The sizes of images that a network takes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hardedge.contracts.base import Contract, Length

MOST_PIXELS = 1 << 30  # of one batch: no GPU holds the activations of more


@dataclass(frozen=True, kw_only=True)
class Profile(Contract):
    """One optimisation profile of the image input: (batch, height, width) at least, typically, at most."""

    min: tuple[Length, Length, Length]
    opt: tuple[Length, Length, Length]
    max: tuple[Length, Length, Length]
    name: str = "default"

    def __post_init__(self) -> None:
        bounds = zip(self.min, self.opt, self.max, strict=True)
        if not all(1 <= least <= typical <= most for least, typical, most in bounds):
            raise ValueError("expected 1 <= min <= opt <= max for batch, height and width")
        if math.prod(self.max) > MOST_PIXELS:
            raise ValueError(f"max has {math.prod(self.max)} pixels, more than {MOST_PIXELS}")
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise ValueError(f"name {self.name!r}: expected letters, digits, '.', '_' and '-'")

    def holds(self, size: tuple[int, int, int]) -> bool:
        """Whether (batch, height, width) lies inside."""
        return all(low <= length <= high for low, length, high in zip(self.min, size, self.max, strict=True))

    def __str__(self) -> str:
        least, most = ("x".join(map(str, size)) for size in (self.min, self.max))
        return f"{self.name} {least} to {most}" if least != most else f"{self.name} {least}"


def hull(profiles: Sequence[Profile]) -> Profile:
    """The range that holds every profile; its typical size is the first one's."""
    least = tuple(min(lengths) for lengths in zip(*(profile.min for profile in profiles), strict=True))
    most = tuple(max(lengths) for lengths in zip(*(profile.max for profile in profiles), strict=True))
    return Profile(min=least, opt=profiles[0].opt, max=most)


def find_profile(profiles: tuple[Profile, ...], size: tuple[int, int, int]) -> int | None:
    """The place of the first profile that holds (batch, height, width); None where none does."""
    return next((place for place, profile in enumerate(profiles) if profile.holds(size)), None)


def profiles_in_words(profiles: tuple[Profile, ...]) -> str:
    """The profiles by name with their sizes: `small 1x64x64 to 4x512x1024; large ...`."""
    return "; ".join(map(str, profiles)) + " (batch x height x width)"


def _require_profiles(profiles: tuple[Profile, ...]) -> None:
    names = [profile.name for profile in profiles]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"profiles: expected one or more, each of its own name, got {', '.join(names) or 'none'}")
