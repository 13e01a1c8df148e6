"""Run an unchanged worker script with the guard around its request handler."""

from __future__ import annotations

import logging
import runpy
import sys
from pathlib import Path

from ._install import install

USAGE = "usage: python -m livekit_deploy_hook agent.py start [arguments of the script]\n"
BAD_USAGE = 2  # as of Python for a script that is not there

logger = logging.getLogger("livekit_deploy_hook")


def main() -> None:
    """Run the script that the command line names; its exit code is ours."""
    args = sys.argv[1:]
    if not args or not Path(args[0]).is_file():
        found = f"{args[0]!r}, which is no file" if args else "no script"
        sys.stderr.write(f"livekit_deploy_hook: found {found}; expected a worker's script; {USAGE}")
        sys.exit(BAD_USAGE)
    if "dev" in args[1:2]:
        logger.warning(
            "livekit_deploy_hook: where `dev` reloads the worker "
            "(livekit-agents before 1.6) it runs unguarded, use `start`"
        )
    install()
    run_as_main(Path(args[0]), args)


def run_as_main(script: Path, args: list[str]) -> None:
    """Run a script as ``python script …`` does.

    Job processes import the main module anew by the path it has here; run_path() leaves no
    ``__spec__`` that would send them to this package instead.
    """
    sys.argv[:] = args
    if not getattr(sys.flags, "safe_path", sys.flags.isolated):  # else Python has put nothing there to replace
        sys.path[0] = str(script.resolve().parent)
    runpy.run_path(str(script.absolute()), run_name="__main__")
