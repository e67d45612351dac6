"""What a package offers at its door, named in strings: a module is imported when its name is asked for."""

from collections.abc import Callable, Mapping
from importlib import import_module


def open_doors(package: str, offered: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package that offers each name from the module named beside it.

    `module:name` is a name that the package has from another one.
    Raises AttributeError for any other name.
    """

    def get(name: str) -> object:
        if name not in offered:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, other = offered[name].partition(":")
        found: object = getattr(import_module(module), other or name)
        return found

    return get
