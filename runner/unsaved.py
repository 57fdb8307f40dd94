"""What a training says about checkpoints that a full disk did not take."""

from collections.abc import Callable

from runner.errors import UserError
from store import Recorder


class Unsaved:
    """Tells it to the run's events and to whoever looks at the console: once an episode, and whenever the best is lost.

    Args:
        metric: what the best checkpoint is selected by.
        warn: shows a sentence on the console.
    """

    def __init__(self, recorder: Recorder, metric: str, warn: Callable[[str], None]) -> None:
        self._recorder, self._metric, self._warn = recorder, metric, warn
        self._missed: list[int] = []

    def miss(self, step: int, full: UserError, newest: int | None) -> None:
        """There is no checkpoint of this step; `newest` is the newest there is."""
        self._missed.append(step)
        if len(self._missed) == 1:
            has = "there is none yet" if newest is None else f"the newest is that of step {newest:,}"
            self._say(
                f"no checkpoint of step {step:,}: {full} Training goes on and tries again at every evaluation; {has}.",
                {"step": step, "newest": newest},
            )

    def lose_best(self, lost: tuple[int, float | None], kept: tuple[int | None, float | None]) -> None:
        """The weights of the best step so far are in no checkpoint; (step, value) of those that stand in for them."""
        step, value = kept
        instead = (
            "the best so far is the next one that is saved"
            if step is None
            else f"the best so far is step {step:,} again ({_shown(value)})"
        )
        self._say(
            f"the weights of step {lost[0]:,}, the best with {self._metric} {_shown(lost[1])}, are lost as they were in"
            f" no checkpoint; {instead}.",
            {"step": lost[0], "value": lost[1], "kept_step": step, "kept_value": value},
        )

    def save(self, step: int) -> None:
        """The checkpoint of this step is in place."""
        if self._missed:
            first, n = self._missed[0], len(self._missed)
            text = f"checkpoints are saved again, from step {step:,} on; since step {first:,} there are {n} missing."
            self._say(text, {"step": step, "missed": self._missed})
            self._missed = []

    def _say(self, text: str, data: dict[str, object]) -> None:
        self._recorder.event("warning", text, data)
        self._warn(text)


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"
