"""Tasks for processes of their own, which import next to nothing."""

import os
import subprocess
import sys


def two_rows_then(what, mark):
    """``mark``: by which the process is known that a task which hangs has started."""
    yield {"part": "test", "head": "a", "value": 1}
    yield {"part": "test", "head": "b", "reason": "out of memory"}
    if what == "die":
        os._exit(7)
    if what == "raise":
        raise ValueError("no such thing")
    if what == "hang":
        subprocess.run([sys.executable, "-c", "import time; time.sleep(60)", mark], check=True)
    yield {"part": "test", "head": "c", "value": 3}
