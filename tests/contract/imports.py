"""Which file of this project imports which, and in what package it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ansible.module_utils.livekit_deploy"
HOME = ROOT / "module_utils/livekit_deploy"
# A package imports only itself and those before it.
ON_HOSTS = ("common", "machine", "worker", "release", "gather")
ON_CONTROLLER = ("livekit", "inventory", "play", "proof", "diagnosis", "names", "fleet")
ORDER = (*ON_HOSTS, *ON_CONTROLLER)


def imported(path: Path, text: str | None = None) -> Iterator[Path]:
    """Yield the files of ``module_utils`` that a file imports; ``text`` is read in the place of the file's own."""
    for node in ast.walk(ast.parse(path.read_text() if text is None else text)):
        if isinstance(node, ast.ImportFrom):
            module = absolute(path, node)
            if module == PACKAGE or module.startswith(f"{PACKAGE}."):
                yield from files_of(module, [alias.name for alias in node.names])


def absolute(path: Path, node: ast.ImportFrom) -> str:
    """Return the full name of the module that an import names."""
    if not node.level:
        return str(node.module)
    folder = path.parents[node.level - 1].relative_to(HOME.parent)
    return ".".join(["ansible.module_utils", *folder.parts, *([node.module] if node.module else [])])


def files_of(module: str, names: list[str]) -> Iterator[Path]:
    place = HOME.joinpath(*module.removeprefix(PACKAGE).split(".")[1:])
    if place.with_suffix(".py").is_file():
        yield place.with_suffix(".py")
    else:
        yield from (place / f"{name}.py" for name in names if (place / f"{name}.py").is_file())


def package_of(path: Path) -> str:
    """Return the package of a file of ``module_utils``; empty for the project's own ``__init__``."""
    return path.relative_to(HOME).parts[0] if path.parent != HOME else ""


def shipped(path: Path) -> set[Path]:
    """Return a module with all that is shipped with it: what it imports, and what that imports."""
    found: set[Path] = set()
    left = [path]
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left += imported(path)
    return found
