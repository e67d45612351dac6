"""A network of the user's own, by `package.module:function`."""

import importlib
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor, nn

from hardedge.contracts import NetworkSpec
from hardedge.errors import BadInput, users_line

# a multiple of every usual stride, and not square: swapped axes are seen
CHECK_HEIGHT, CHECK_WIDTH = 64, 96


def require_code_allowed(spec: NetworkSpec, source: Path, *, allowed: bool) -> None:
    """Raises BadInput where `source` names a network that is somebody's code, unless that code may run."""
    if ":" in spec.name and not allowed:
        raise BadInput(
            f"{source}: its network {spec.name} is code of whoever wrote it, and building it runs that code. "
            "Read the code, then add --allow-code."
        )


def build_user_network(name: str, num_classes: int) -> nn.Module:
    """What `module:function` returns for num_classes, checked by one forward; the current directory is importable.

    Raises BadInput when it cannot be imported or called, is no nn.Module, or does not map images to logits at their
    size with num_classes channels.
    """
    build = _function(name)
    try:
        network = build(num_classes)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise BadInput(
            f"network {name}: calling it with num_classes={num_classes} failed: {_error_text(error)}\n"
            "It must take the number of classes and return a torch.nn.Module."
        ) from error
    if not isinstance(network, nn.Module):
        raise BadInput(f"network {name}: returned {type(network).__name__}. Return a torch.nn.Module.")
    require_logits(name, network, num_classes)
    return network


def _function(name: str) -> Callable[[int], object]:
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise BadInput(f'network "{name}": write package.module:function, for example mynet:build.')
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise BadInput(_import_fault(name, module_name, here, error)) from error
    found = getattr(module, function_name, None)
    if not callable(found):
        near = get_close_matches(function_name, [key for key in vars(module) if callable(getattr(module, key))], n=1)
        guess = f" Did you mean {module_name}:{near[0]}?" if near else ""
        raise BadInput(f"network {name}: {module_name} ({module.__file__}) has no function {function_name}.{guess}")
    return found  # type: ignore[no-any-return]  # its result is checked


def _import_fault(name: str, module_name: str, here: str, error: BaseException) -> str:
    parents = {module_name[:end] for end in range(len(module_name) + 1) if module_name[end : end + 1] in (".", "")}
    if isinstance(error, ModuleNotFoundError) and error.name in parents:
        return (
            f"network {name}: no module {error.name}, neither in {here} nor installed. "
            "Run hardedge in the directory that holds it, or install its package."
        )
    return (
        f"network {name}: importing {module_name} failed: {_error_text(error)}\nMend the module, then run this again."
    )


def require_logits(
    name: str,
    network: nn.Module,
    num_classes: int,
    *,
    size: tuple[int, int] = (CHECK_HEIGHT, CHECK_WIDTH),
    batch: int = 2,
    what: str = "two RGB images",
) -> None:
    """Raises BadInput unless images of (height, width) give logits of num_classes channels at their size."""
    parameter = next(network.parameters(), None)
    images_BCHW = torch.zeros(batch, 3, *size, device=parameter.device if parameter is not None else None)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            logits_BCHW = network(images_BCHW)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise BadInput(
            f"network {name}: its forward failed on {what} of {size[0]}x{size[1]}: {_error_text(error)}"
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode
    fault = _output_fault(logits_BCHW, (batch, num_classes, *size))
    if fault:
        raise BadInput(f"network {name}: {fault}")


def _output_fault(logits_BCHW: object, expected: tuple[int, int, int, int]) -> str | None:
    if not isinstance(logits_BCHW, Tensor):
        return f"its forward returns {type(logits_BCHW).__name__}. Return the logits alone, as one tensor."
    shape = tuple(logits_BCHW.shape)
    if len(shape) == 4 and (shape[0], *shape[2:]) == (expected[0], *expected[2:]) and shape != expected:
        return f"its logits have {shape[1]} channels for num_classes={expected[1]}. Use the number it is called with."
    if shape != expected:
        return f"its logits are {shape}, expected {expected}. Upsample them to the image's size inside its forward."
    if not logits_BCHW.is_floating_point():
        return f"its logits are {logits_BCHW.dtype}. Return floating-point logits, before any argmax."
    return None


def _error_text(error: BaseException) -> str:
    """What the error says, with the line of the user's code that it went through last."""
    place = users_line(error)
    return f"{type(error).__name__}: {error}{f' ({place})' if place else ''}"
