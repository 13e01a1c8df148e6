"""Probe answers and a standby gate for any livekit-agents worker.

Two lines in a worker::

    from livekit_deploy_hook import guard

    @server.rtc_session(on_request=guard(my_on_request))

Or none: ``python -m livekit_deploy_hook agent.py start``.
"""

from ._decide import Decision, Gate, Probe, decide, parse_probe
from ._gate import DEFAULT_GATE_PATH, GateFile
from ._guard import guard

__all__ = [
    "DEFAULT_GATE_PATH",
    "Decision",
    "Gate",
    "GateFile",
    "Probe",
    "decide",
    "guard",
    "parse_probe",
]
