"""
An installed Pulumi SDK, read as source text: importing one type of `pulumi_gcp.compute` takes 5 seconds of processor
time, because its module loads 286 others; finding and parsing its classes takes hundredths.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from lab.plugins.base import PluginError

CLASS = re.compile(r"^class (\w+)", re.MULTILINE)
# A generated class ends where the next line begins at the margin.
MARGIN = re.compile(r"^(?=[^\s#])", re.MULTILINE)
# The SDK's own table of types, which it registers when it is imported.
RESOURCE_MODULES = re.compile(r'resource_modules="""(.*?)"""', re.DOTALL)
CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class SdkError(PluginError):
    """The SDK is not built as this reader expects; a new version may be."""


@dataclass(frozen=True)
class Property:
    """A property of a generated class: its name on the wire, its type as written, what the documentation says."""

    name: str
    annotation: ast.expr
    required: bool
    doc: str


@dataclass(frozen=True)
class ResourceSource:
    token: str
    folder: Path
    inputs: str  # the name of the class of its arguments, and of its own, in `file`
    outputs: str
    file: Path


class Sdk:
    """`name` is the Pulumi package's: gcp, aws."""

    def __init__(self, name: str) -> None:
        self.name, self.module = name, f"pulumi_{name}"
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            raise SdkError(f"{self.module} is not installed: run `make venv` (uv sync), then try again")
        self.root = Path(spec.submodule_search_locations[0])

    @cached_property
    def version(self) -> str:
        return str(json.loads((self.root / "pulumi-plugin.json").read_text())["version"])

    @cached_property
    def tokens(self) -> dict[str, tuple[Path, str]]:
        """Each resource type's folder and class."""
        found = RESOURCE_MODULES.search((self.root / "__init__.py").read_text())
        if found is None:
            raise SdkError(f"{self.module} {self.version} has no table of its resource types")
        return {
            token: (self.root.joinpath(*module["fqn"].split(".")[1:]), name)
            for module in json.loads(found.group(1))
            for token, name in module["classes"].items()
        }

    def resource(self, token: str) -> ResourceSource:
        folder, name = self.tokens[token]
        file = self._file_of(token, folder, name)
        made = re.search(r"__props__ = (\w+)\.__new__", source(file).part(name))
        if made is None:
            raise SdkError(f"{self.module} {self.version}: no arguments found for {token} in {file}")
        return ResourceSource(token, folder, made.group(1), name, file)

    def _file_of(self, token: str, folder: Path, name: str) -> Path:
        likely = folder / f"{CAMEL_HUMP.sub('_', name).lower()}.py"
        others = (file for file in sorted(folder.glob("*.py")) if file != likely)
        for file in (likely, *others):
            if file.is_file() and f'type_token("{token}")' in file.read_text():
                return file
        raise SdkError(f"{self.module} {self.version} lists {token}, but no file in {folder} has it")


class Source:
    """One generated file."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = {match.group(1): match.start() for match in CLASS.finditer(text)}

    def __contains__(self, name: str) -> bool:
        return name in self._starts

    def part(self, name: str) -> str:
        """The text of one class."""
        start = self._starts[name]
        end = MARGIN.search(self._text, start + 1)
        return self._text[start : end.start() if end else len(self._text)]

    def properties(self, name: str) -> dict[str, Property]:
        """By the name that Python has for them, in the SDK's order."""
        functions = [one for one in self._body(name) if isinstance(one, ast.FunctionDef)]
        required = {argument for one in functions if one.name == "__init__" for argument in _required(one)}
        return {
            one.name: Property(wire, one.returns, one.name in required, ast.get_docstring(one) or "")
            for one in functions
            if (wire := _wire_name(one)) and one.returns is not None
        }

    def choices(self, name: str) -> tuple[str, ...] | None:
        """The values of an enumeration of texts; None if the class is none."""
        if not re.match(r"class \w+\(_builtins\.str, Enum\)", self._text[self._starts[name] :]):
            return None
        values = [one.value for one in self._body(name) if isinstance(one, ast.Assign)]
        # Two names may stand for one value.
        return tuple(dict.fromkeys(str(one.value) for one in values if isinstance(one, ast.Constant)))

    def _body(self, name: str) -> list[ast.stmt]:
        (definition,) = ast.parse(self.part(name)).body
        assert isinstance(definition, ast.ClassDef)
        return definition.body


@cache
def source(file: Path) -> Source:
    return Source(file.read_text() if file.is_file() else "")


def _required(init: ast.FunctionDef) -> list[str]:
    arguments = zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
    positional = init.args.args[1 : len(init.args.args) - len(init.args.defaults)]
    return [one.arg for one in positional] + [one.arg for one, default in arguments if default is None]


def _wire_name(function: ast.FunctionDef) -> str:
    """`@pulumi.getter(name="bootDisk")`, or `@pulumi.getter` where both names are the same; empty: no property."""
    for decorator in function.decorator_list:
        if ast.unparse(decorator) == "pulumi.getter":
            return function.name
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pulumi.getter":
            return next((str(ast.literal_eval(one.value)) for one in decorator.keywords), function.name)
    return ""
