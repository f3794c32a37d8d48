"""Identify what a result was made of: fingerprints of code, its commit, hashes of files, and the key that names a job.

This module imports only the standard library, because Snakemake imports it when it parses the Snakefile.
"""

import ast
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "fig"  # only names objects of its modules
ASIDE = (  # part of no fingerprint: they carry results, or hold values that every record has
    "fig.runtime",
    "fig.settings",
    "fig.study",
    "fig.detectors.table",
    "fig.hub",
    "fig.methods.table",
    "fig.networks.table",
)
DATA = {"fig.report.paper": "*.csv", "fig.report.page": "templates/*"}  # files that are code to a module


@dataclass(frozen=True)
class Module:
    """A module of this project."""

    path: Path
    digest: str  # of its syntax tree, comments and docstrings aside
    imports: tuple[str, ...]  # the modules of this project that it imports, and the package around it


def module_path(root: Path, module: str) -> Path | None:
    """Return the file of a module of this project, or None if `module` is an attribute or another project's module."""
    base = root.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.exists()), None)


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield every dotted name that a syntax tree imports, at the top or inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def without_docstrings(tree: ast.AST) -> ast.AST:
    """Remove the docstrings of modules, classes, functions and attributes from a tree, and return it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not is_text(each)]
    return tree


def is_text(node: ast.AST) -> bool:
    """Return whether a statement is only a string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def examine(root: Path, name: str) -> Module | None:
    """Examine a module below `root`. Return None for another project's module and for one that is in no fingerprint."""
    path = module_path(root, name)
    aside = name == PACKAGE or f"{name}.".startswith(tuple(f"{aside}." for aside in ASIDE))
    if path is None or aside:
        return None
    tree = ast.parse(path.read_text())
    names = [*imported_names(tree), *([name.rpartition(".")[0]] if "." in name else [])]
    ours = tuple(each for each in dict.fromkeys(names) if module_path(root, each) is not None)
    return Module(path, hashlib.sha256(ast.dump(without_docstrings(tree)).encode()).hexdigest(), ours)


def modules_behind(*modules: str) -> dict[str, Module]:
    """Return modules and all their direct and indirect imports of this project, with the packages around each."""
    found: dict[str, Module] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and (module := examine(ROOT, name)) is not None:
            found[name] = module
            waiting.extend(module.imports)
    return found


def fingerprint(*modules: str) -> str:
    """Return a hash over the code of `modules` and of their imports of this project: 16 hexadecimal digits.

    Comments, docstrings and layout do not enter it. Raises ModuleNotFoundError for an unknown module.
    """
    for module in modules:
        if module_path(ROOT, module) is None:
            raise ModuleNotFoundError(f"{module} is not a module of this project")
    behind = modules_behind(*modules)
    parts = sorted((name, module.digest) for name, module in behind.items())
    files = [path for name in sorted(DATA) if name in behind for path in behind[name].path.parent.glob(DATA[name])]
    parts += [(path.name, file_hash(path)) for path in sorted(files)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@cache
def commit_of(root: Path = ROOT) -> str:
    """Return the Git commit of the code below `root`, with `-dirty` if files of it were changed since.

    Empty where the code is no Git repository's, or Git does not say: then only fingerprints identify it.
    """
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return ""
    command = [git, "--no-optional-locks", "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout.strip()


def module_hash(module: str) -> str:
    """Return the SHA-256 of a module's file, anywhere on the path or in the working directory, without running it.

    Raises ModuleNotFoundError if the module does not exist.
    """
    origin, places = None, [str(Path.cwd()), *sys.path]
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        found = PathFinder.find_spec(".".join(parts[:depth]), places)
        if found is None:
            raise ModuleNotFoundError(f"there is no module {module} in the working directory or on PYTHONPATH")
        origin, places = found.origin, list(found.submodule_search_locations or [])
    if origin is None:
        raise ModuleNotFoundError(f"{module} is a folder, not a module with code")
    return file_hash(Path(origin))


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance_key(parts: Mapping[str, object]) -> str:
    """Return a name for an object by the parts that determine it: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
