"""What can go wrong, by exit code. A message says what is wrong, where, and how to mend it."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import ClassVar


class HardedgeError(Exception):
    """A fault that the user can mend; shown without a traceback."""

    exit_code: ClassVar[int] = 2


class GateFailed(HardedgeError):
    """A gate that the user asked for did not hold."""

    exit_code: ClassVar[int] = 1


class BadInput(HardedgeError):
    """Wrong use, or an input that cannot be used."""

    exit_code: ClassVar[int] = 2


class ReportedElsewhere(HardedgeError):
    """Another process of this training tells the user what is wrong."""


class Unavailable(HardedgeError):
    """Something that this machine lacks: an extra, a device, disk space."""

    exit_code: ClassVar[int] = 3


def missing_extra(package: str, extra: str) -> Unavailable:
    """The error for a package that comes with an extra, with the command that adds it."""
    return Unavailable(f"{package} is not installed. Add it with: pip install 'hardedge[{extra}]'")


def first_line(error: BaseException) -> str:
    """The first line of what an error says; the name of its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def faults_error(problem: str, faults: list[str], fix: str) -> BadInput:
    """One error for all the faults of one input, a line each."""
    lines = "\n".join(f"  {fault}" for fault in faults)
    return BadInput(f"{problem}:\n{lines}\n{fix}")


@contextmanager
def users_code(what: str) -> Iterator[None]:
    """Turns what a user's own code raises within the block into BadInput with the line of it; the rest is let through.

    `what` names the code, such as "the network, a branch or the loss".
    """
    try:
        yield
    except (HardedgeError, MemoryError):
        raise
    except Exception as error:  # a user's code may raise anything
        place = users_line(error)
        if place is None or "out of memory" in str(error):
            raise
        raise BadInput(
            f"{what}, {place}: {type(error).__name__}: {error}\nMend it there. --debug shows all."
        ) from error


def users_line(error: BaseException) -> str | None:
    """File and line of the code of no package that an error went through last; None where it is packages' alone."""
    found = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if _is_users(frame)]
    if not found:
        return None
    frame, line = found[-1]
    return f"{Path(frame.f_code.co_filename).name}, line {line}"


def _is_users(frame: FrameType) -> bool:
    path = Path(frame.f_code.co_filename)
    if str(frame.f_globals.get("__name__")).partition(".")[0] == "hardedge" or not path.is_file():
        return False
    packages = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    own = path.resolve()
    return "site-packages" not in own.parts and not any(Path(folder).resolve() in own.parents for folder in packages)
