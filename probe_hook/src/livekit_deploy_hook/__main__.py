"""``python -m livekit_deploy_hook agent.py start``: see ``_launch``."""

from ._launch import main

main()
