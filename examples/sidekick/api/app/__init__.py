"""The reference application's API: asks LiveKit to send the agent into a room."""
