"""Make the project's module_utils/ and library/ importable the way ansible-core does."""

from __future__ import annotations

import sys
from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).resolve().parents[2]
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))
sys.path.append(str(ROOT / "library"))
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))
