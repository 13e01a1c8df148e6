"""How the house is kept, in figures: `python -m benchmarks.house [PATH]` (PATH is another checkout).

Product code is `library`, `module_utils`, the plugins and the roles' YAML without their scenarios.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("library", "module_utils", "filter_plugins", "callback_plugins", "action_plugins", "lookup_plugins")
UTILS = Path("module_utils/livekit_deploy")
LOOSE = re.compile(r"dict\[str, Any\]|Mapping\[str, Any\]")
WIDTH = 120
BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.With,
    ast.AsyncWith,
    ast.Assert,
    ast.match_case,
)


@dataclass(frozen=True)
class Function:
    file: str
    name: str
    lines: int
    complexity: int


def python_files(root: Path) -> list[Path]:
    found = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    return [path for path in found if not path.is_symlink()]


def yaml_files(root: Path) -> list[Path]:
    return [path for path in sorted((root / "roles").rglob("*.yml")) if "molecule" not in path.parts]


def complexity(node: ast.AST) -> int:
    """Ways through a function: branches, each `for` and `if` of a comprehension, each operand of `and` and `or`."""
    ways = 1
    for one in ast.walk(node):
        if isinstance(one, BRANCHES):
            ways += 1
        elif isinstance(one, ast.comprehension):
            ways += 1 + len(one.ifs)
        elif isinstance(one, ast.BoolOp):
            ways += len(one.values) - 1
    return ways


def functions(root: Path) -> Iterator[Function]:
    for path in python_files(root):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                yield Function(str(path.relative_to(root)), node.name, lines, complexity(node))


def shared_names(root: Path) -> list[str]:
    """Return the names of functions that are defined at the top of several modules."""
    where: dict[str, set[Path]] = defaultdict(set)
    for path in python_files(root):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "main":
                where[node.name].add(path)
    return sorted(name for name, paths in where.items() if len(paths) > 1)


def shipped(root: Path, module: str) -> set[Path]:
    """Return a module with all of `module_utils` that ansible-core ships with it."""
    found: set[Path] = set()
    left = [root / "library" / f"{module}.py"]
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left += imported(root, path)
    return found


def imported(root: Path, path: Path) -> Iterator[Path]:
    prefix = "ansible.module_utils.livekit_deploy"
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            folder = path.parents[node.level - 1]
        elif (node.module or "").startswith(prefix):
            folder = root / UTILS
        else:
            continue
        rest = (node.module or "").removeprefix(prefix).strip(".")
        place = folder.joinpath(*rest.split(".")) if rest else folder
        if place.with_suffix(".py").is_file():
            yield place.with_suffix(".py")
        else:
            yield from (file for alias in node.names if (file := place / f"{alias.name}.py").is_file())


def private_names(root: Path) -> int:
    """Return how many names of a role's own stand in Python outside `play/run.py`."""
    texts = [
        node.value
        for path in python_files(root)
        if path != root / UTILS / "play/run.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return sum(bool(re.fullmatch(r"__[a-z]\w*[a-z]", text)) for text in texts)


def filters(root: Path) -> int:
    text = (root / "filter_plugins/livekit_deploy.py").read_text()
    return len(re.findall(r'^ +"livekit_\w+": ', text, re.MULTILINE))


def packages(root: Path) -> dict[str, int]:
    files = [path.relative_to(root / UTILS) for path in (root / UTILS).rglob("*.py") if path.name != "__init__.py"]
    return dict(sorted(Counter(path.parts[0] if len(path.parts) > 1 else "(flat)" for path in files).items()))


def measure(root: Path) -> dict[str, Any]:
    python = {path: path.read_text() for path in python_files(root)}
    yaml = [path.read_text() for path in yaml_files(root)]
    known = list(functions(root))
    sent = shipped(root, "agent_release")
    lines = {str(path.relative_to(root)): len(text.splitlines()) for path, text in python.items()}
    by_complexity = sorted(known, key=lambda one: -one.complexity)
    return {
        "files per package": packages(root),
        "lines of Python": sum(lines.values()),
        "lines of YAML": sum(len(text.splitlines()) for text in yaml),
        "lines over 120 columns": sum(
            len(line) > WIDTH for text in [*python.values(), *yaml] for line in text.splitlines()
        ),
        "files over 400 lines": {name: number for name, number in lines.items() if number > 400},
        "dict[str, Any] and Mapping[str, Any]": sum(len(LOOSE.findall(text)) for text in python.values()),
        "bytes shipped by agent_release": sum(path.stat().st_size for path in sent),
        "files shipped by agent_release": len(sent),
        "private names outside play": private_names(root),
        "filters": filters(root),
        "function names in several modules": shared_names(root),
        "functions above complexity 12": [
            f"{one.file} {one.name} {one.complexity}" for one in by_complexity if one.complexity > 12
        ],
        "longest functions": [
            f"{one.file} {one.name} {one.lines}" for one in sorted(known, key=lambda one: -one.lines)[:5]
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.house", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", nargs="?", type=Path, default=ROOT, help="a checkout (default: this one)")
    parser.add_argument("--short", action="store_true", help="numbers instead of lists")
    given = parser.parse_args()
    found = measure(given.path)
    if given.short:
        found = {name: len(value) if isinstance(value, list) else value for name, value in found.items()}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
