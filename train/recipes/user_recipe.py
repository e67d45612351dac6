"""A recipe of the user's own: FILE.py, or FILE.py:function where the file has several."""

import inspect
import runpy
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hardedge.errors import BadInput, HardedgeError
from hardedge.synonyms import nearest_name_hint
from hardedge.train.recipe import Recipe

MODULE = "hardedge_own_recipe"
EXAMPLE = """Write one, for example:
  from dataclasses import replace
  from hardedge.train.recipes import camvid

  def mine():
      return replace(camvid(), name="mine", steps=2000)"""

Function = Callable[[], object]


def is_user_recipe(word: str) -> bool:
    """Whether the word is FILE.py or FILE.py:function."""
    return word.partition(":")[0].endswith(".py")


def load_user_recipe(word: str) -> Recipe:
    """What the file's recipe function returns; what the file imports may lie in the current directory.

    A recipe function is public, defined in the file, and takes no argument. Raises BadInput when there is no such file
    or function, or several and none is named, when the file or the function fails, and when it returns something else
    than a Recipe.
    """
    file, _, name = word.partition(":")
    path = Path(file)
    content = _content(path)
    function = _find_function(path, content, name) if name else _only(path, content)
    try:
        recipe = function()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise BadInput(f"{_place(error, path)}: {_error_text(error)}\nMend the file, then run this again.") from error
    if not isinstance(recipe, Recipe):
        returned = f"{getattr(function, '__name__', name)} returned {type(recipe).__name__}"
        raise BadInput(f"{path}: {returned}. Return a Recipe, as hardedge.train.recipe has it.")
    return recipe


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        there = [str(each) for each in path.parent.glob("*.py")]
        raise BadInput(
            f"{path}: no such file.{nearest_name_hint(str(path), there)} Give the path of a Python file with a recipe."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return runpy.run_path(str(path), run_name=MODULE)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise BadInput(f"{_place(error, path)}: {_error_text(error)}\nMend the file, then run this again.") from error


def _find_function(path: Path, content: dict[str, Any], name: str) -> Function:
    found = content.get(name)
    if not callable(found):
        known = list(_recipe_functions(content))
        raise BadInput(
            f"{path} has no function {name}.{nearest_name_hint(name, known)} It has: {', '.join(known) or 'none'}."
        )
    return found  # type: ignore[no-any-return]  # its result is checked


def _only(path: Path, content: dict[str, Any]) -> Function:
    found = _recipe_functions(content)
    if not found:
        raise BadInput(f"{path} has no recipe: no public function of its own without parameters. {EXAMPLE}")
    if len(found) > 1:
        words = ", ".join(f"{path}:{name}" for name in found)
        raise BadInput(f"{path} has {len(found)} recipes. Name one of them: {words}.")
    return next(iter(found.values()))


def _recipe_functions(content: dict[str, Any]) -> dict[str, Function]:
    return {
        name: value
        for name, value in content.items()
        if inspect.isfunction(value)
        and value.__module__ == MODULE
        and not name.startswith("_")
        and not inspect.signature(value).parameters
    }


def _place(error: BaseException, path: Path) -> str:
    """The file, and the line of it where the error arose, if it arose in it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)


def _error_text(error: BaseException) -> str:
    return str(error) if isinstance(error, HardedgeError) else f"{type(error).__name__}: {error}"
