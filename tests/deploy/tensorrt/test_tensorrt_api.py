"""What deploy/ calls of TensorRT, read from its source, against the recorded API of every version that is claimed.

`tensorrt_api.json` holds the classes that are touched, by version: names, and where pybind11 gives one the signature.
"""

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardedge.deploy.tensorrt import api as tensorrt_api
from hardedge.deploy.tensorrt.backend import RTX_CAPABILITIES

API = json.loads((Path(__file__).parent / "tensorrt_api.json").read_text())
DEPLOY = Path(tensorrt_api.__file__).parents[1]
OUTSIDE = {"__version__"}  # of every Python module; not in the records


@dataclass(frozen=True)
class Use:
    """A TensorRT name in the source: `IBuilderConfig.set_flag`, or `ComputeCapability` of the module itself."""

    name: str
    where: str
    arguments: tuple[int, tuple[str, ...]] | None = None


class Uses(ast.NodeVisitor):
    """Follows the variables of one function: `trt` is the module, others are typed by annotation or by what made them.

    A parameter says `config: trt.IBuilderConfig`; a local takes the type that the recorded signature returns.
    """

    def __init__(self, file: str, function: ast.FunctionDef) -> None:
        self.file, self.found = file, list[Use]()
        self.types = {"trt": ""}
        for argument in (*function.args.args, *function.args.kwonlyargs):
            text = ast.unparse(argument.annotation) if argument.annotation else ""
            if text.startswith("trt."):
                self.types[argument.arg] = text.removeprefix("trt.")
        for statement in function.body:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        if isinstance(node.targets[0], ast.Name) and (made := self.type_of(node.value)):
            self.types[node.targets[0].id] = made

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        self.note(node)

    def visit_Call(self, node: ast.Call) -> None:
        for child in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(child)
        if isinstance(node.func, ast.Attribute):
            self.visit(node.func.value)
            self.note(node.func, (len(node.args), tuple(str(keyword.arg) for keyword in node.keywords)))
        elif isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1:
            self.note_getattr(node)

    def note(self, node: ast.Attribute, arguments: tuple[int, tuple[str, ...]] | None = None) -> None:
        owner = self.type_of(node.value)
        if owner is not None and node.attr not in OUTSIDE:
            name = f"{owner}.{node.attr}".lstrip(".")
            self.found.append(Use(name, f"{self.file}:{node.lineno}", arguments))

    def note_getattr(self, node: ast.Call) -> None:
        owner, name = self.type_of(node.args[0]), node.args[1]
        if owner and isinstance(name, ast.Constant):
            self.found.append(Use(f"{owner}.{name.value}", f"{self.file}:{node.lineno}"))

    def type_of(self, node: ast.expr) -> str | None:
        """The class of an expression by name, '' for the module, None for what is not TensorRT's."""
        if isinstance(node, ast.Name):
            return self.types.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self.type_of(node.value)
            return node.attr if owner == "" else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = self.type_of(node.func.value)
            return node.func.attr if owner == "" else returned(owner, node.func.attr) if owner else None
        return None


def returned(owner: str, method: str) -> str | None:
    signature = API["11.4"]["classes"].get(owner, {}).get(method, "")
    match = re.search(r"-> (\w+)$", signature)
    return match[1] if match and match[1] in API["11.4"]["names"] else None


def uses() -> list[Use]:
    found = []
    for path in sorted(DEPLOY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                found += Uses(path.name, node).found
    return found


def exists(version: str, name: str) -> bool:
    owner, _, member = name.rpartition(".")
    return member in (API[version]["classes"].get(owner, {}) if owner else API[version]["names"])


def table() -> Iterator[tuple[str, dict[str, bool]]]:
    """The rows of the docstring's table: a name, and whether each version is said to have it."""
    lines = [line for line in str(tensorrt_api.__doc__).splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    for row in rows:
        yield row[0], {version: row[head.index(version)] == "yes" for version in API}


def test_the_table_says_what_the_records_say() -> None:
    rows = dict(table())
    assert len(rows) >= 8
    for name, said in rows.items():
        assert said == {version: exists(version, name) for version in API}, name


def test_every_name_is_in_every_version_or_in_the_table() -> None:
    used = uses()
    assert {"IBuilderConfig.set_compute_capability", "ComputeCapability"} <= {use.name for use in used}
    different = dict(table())
    faults = [
        f"{use.where}: {version} has no {use.name}"
        for use in used
        for version in API
        if not exists(version, use.name) and use.name not in different
    ]
    assert faults == []
    nowhere = [use for use in used if not any(exists(version, use.name) for version in API)]
    assert nowhere == []


def test_every_call_fits_every_recorded_signature() -> None:
    checked = 0
    for use in uses():
        owner, _, member = use.name.rpartition(".")
        for version in API:
            signature = API[version]["classes"].get(owner, {}).get(member, "")
            match = re.search(r"\((.*)\) -> ", signature)
            if use.arguments is None or not match:
                continue
            names = [part.split(":")[0].strip() for part in re.sub(r"\[.*?\]", "", match[1]).split(",")]
            optional = sum("=" in part for part in match[1].split(","))
            given, keywords = use.arguments
            assert set(keywords) <= set(names), (use, version)
            most = len(names) - (names[0] == "self")
            assert most - optional <= given + len(keywords) <= most, (use, version, signature)
            checked += 1
    assert checked >= 1


def test_a_wrong_name_and_a_wrong_call_would_be_found() -> None:
    source = """
def f(config: trt.IBuilderConfig, data: bytes) -> None:
    trt = module()
    cache = config.create_timing_cache(data)
    cache.serialise()
    config.set_flag(trt.BuilderFlag.FP16, 1)
    config.set_timing_cache(cache=cache)
    getattr(trt.BuilderFlag, "INT9")
"""
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    found = {use.name: use.arguments for use in Uses("x.py", function).found}
    assert found == {
        "IBuilderConfig.create_timing_cache": (1, ()),
        "ITimingCache.serialise": (0, ()),
        "BuilderFlag": None,
        "BuilderFlag.FP16": None,
        "IBuilderConfig.set_flag": (2, ()),
        "IBuilderConfig.set_timing_cache": (0, ("cache",)),
        "BuilderFlag.INT9": None,
    }
    assert not exists("11.4", "ITimingCache.serialise")
    assert exists("10.16", "BuilderFlag.FP16")
    assert not exists("11.4", "BuilderFlag.FP16")


def test_no_other_module_of_deploy_imports_tensorrt() -> None:
    for path in DEPLOY.rglob("*.py"):
        if path in (Path(tensorrt_api.__file__), DEPLOY / "doctor/import_process.py"):  # a child that tries an import
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            assert not any(name.split(".")[0] in ("tensorrt", "tensorrt_rtx") for name in (*names, module)), path
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert not called.endswith("import_module"), path


def test_every_device_that_is_offered_can_be_aimed_at() -> None:
    offered = {device.upper() for device in RTX_CAPABILITIES}
    assert offered == set(API["RTX 1.7"]["classes"]["ComputeCapability"]) - {"NONE", "CURRENT"}


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx comes with hardedge[export] on x86-64"
)
def test_the_installed_tensorrt_rtx_has_what_is_used() -> None:
    import tensorrt_rtx

    for use in uses():
        found: object = tensorrt_rtx
        for part in use.name.split("."):
            if exists("RTX 1.7", use.name):
                found = getattr(found, part)
