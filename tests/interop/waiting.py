"""What the scripts that drive our APIs wait with."""

import time


def until(what, done):
    """Waits for what the client shows a moment later."""
    for _ in range(400):
        if done():
            return
        time.sleep(0.1)
    raise SystemExit(f"waited for: {what}")
