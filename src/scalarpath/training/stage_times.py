"""Lightning's hooks as parts of the stopwatch of this process."""

from __future__ import annotations

from pytorch_lightning.profilers import Profiler

from scalarpath.core.stopwatch import Stopwatch


class StageTimes(Profiler):
    """Gives every hook, of Lightning, the module and the callbacks, to ``watch`` as a part of its name."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__()
        self.watch = watch

    def start(self, action_name: str) -> None:
        """Begin a hook."""
        self.watch.start(action_name)

    def stop(self, action_name: str) -> None:
        """End a hook."""
        self.watch.stop(action_name)
