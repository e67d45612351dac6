"""What can go wrong, by exit code. A message says what is wrong, where, and how to mend it."""

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
