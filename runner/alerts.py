"""Alerts while a run goes on: the rules of `evals.alerts` on the losses it reports, each told once an episode."""

import math
import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from evals import alerts as rules
from evals.alerts import Alert, AlertKind
from store import Recorder

MOST_OF_A_KIND = 20
"""Alerts of one rule in one run: after that many a person knows, and the run's events stay readable."""

_BY_VALIDATION = f"{AlertKind.DIVERGENCE} of the validation loss"
_MOST_POINTS = 500
_POINTS_A_LOOK = 2 * rules.DIVERGENCE_STRETCH  # new ones between two looks for a divergence, which take 0.2 ms


class Alerts:
    """Which rules are broken now. Tells what was not broken when it was last looked at; safe to use from any thread."""

    def __init__(self, tell: Callable[[Alert], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._n_told: dict[str, int] = {}
        self._is_silent = False

    def note(self, rule: str, alert: Alert | None) -> bool:
        """What a rule says now; None ends its episode. Whether it was told."""
        with self._lock:
            if alert is None:
                self._open.discard(rule)
                return False
            n_told = self._n_told.get(rule, 0)
            if rule in self._open or n_told >= MOST_OF_A_KIND:
                return False
            self._open.add(rule)
            self._n_told[rule] = n_told + 1
        if not self._is_silent:
            self._tell(alert)
        return True

    @contextmanager
    def silently(self) -> Iterator[None]:
        """Inside, episodes begin and end and nothing is told: it was told before."""
        self._is_silent = True
        try:
            yield
        finally:
            self._is_silent = False


def record_alert(recorder: Recorder, alert: Alert) -> None:
    """Keep an alert among the run's events; `store.list_alerts` finds it."""
    recorder.event("alert", alert.message, {"alert": alert.kind, "step": alert.step, **alert.evidence})


class LossWatch:
    """Follows the losses of a training, one number at a time. A step costs microseconds, whatever came before."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._recent: deque[tuple[int, float]] = deque(maxlen=rules.SPIKE_WINDOW)
        self._sorted: list[float] = []  # the same losses
        self._first_loss = math.nan
        self._spike_step: int | None = None
        self._left_best = self._left_validation = math.inf
        self._history = _Thinned(_MOST_POINTS)
        self._sum, self._n = 0.0, 0  # of the losses since the last evaluation
        self._evaluations: list[tuple[int, float, float]] = []
        self._is_broken = False
        self._roles: dict[str, str | None] = {}

    def loss(self, step: int, value: float) -> Alert | None:
        """The training loss of a step, or the mean of the steps since the last call. Returns the alert it raised."""
        if not math.isfinite(value):
            self._is_broken = True
            alert = rules.not_finite(np.array([step]), np.array([value]))
            return alert if self._alerts.note(AlertKind.NOT_FINITE, alert) else None
        if self._is_broken:
            self._is_broken = False
            self._alerts.note(AlertKind.NOT_FINITE, None)
        spike = self._spike(step, value)
        if len(self._recent) == rules.SPIKE_WINDOW:
            del self._sorted[bisect_left(self._sorted, self._recent[0][1])]
        self._recent.append((step, value))
        insort(self._sorted, value)
        if math.isnan(self._first_loss) and len(self._sorted) == rules.SPIKE_LEAST:
            self._first_loss = self._sorted[len(self._sorted) // 2]
        self._follow(step, value)
        return spike

    def restore(self, losses: Iterable[tuple[int, float]], evaluations: Iterable[tuple[int, float]]) -> None:
        """What a run that goes on has seen so far, by step; none of it is told again.

        losses: (step, mean over the steps since the entry before), each of which counts as that mean. evaluations:
        (step, loss on validation data, nan where it is not known).
        """
        seen: list[tuple[int, bool, float]] = [(step, True, value) for step, value in evaluations]
        before = 0
        for step, mean in losses:
            if math.isfinite(mean):
                seen += [(each, False, mean) for each in range(before + 1, step + 1)]
            before = step
        seen.sort(key=lambda entry: entry[:2])
        first = sorted([value for _, is_evaluation, value in seen if not is_evaluation][: rules.SPIKE_LEAST])
        if len(first) == rules.SPIKE_LEAST:
            self._first_loss = first[len(first) // 2]
        with self._alerts.silently():
            for step, is_evaluation, value in seen:
                if is_evaluation:
                    self.evaluated(step, value)
                else:
                    self._follow(step, value)

    def _follow(self, step: int, value: float) -> None:
        """One more step of the curve."""
        self._sum, self._n = self._sum + value, self._n + 1
        if self._history.add(step, value) and len(self._history.losses) % _POINTS_A_LOOK == 0:
            self._look_for_divergence()

    def _look_for_divergence(self) -> None:
        """Its episode lasts until the loss has been lower than the best that it left."""
        alert = rules.divergence(np.array(self._history.steps), np.array(self._history.losses))
        if alert is not None:
            best = float(alert.evidence["best"])
            if best < self._left_best:
                self._alerts.note(AlertKind.DIVERGENCE, None)
            self._left_best = best
            self._alerts.note(AlertKind.DIVERGENCE, alert)

    def _spike(self, step: int, value: float) -> Alert | None:
        n = len(self._sorted)
        # The lower median is no higher than the rule's: what is not above it, by the rule's factor, is no spike.
        if n < rules.SPIKE_LEAST or value <= rules.SPIKE_FACTOR * self._sorted[(n - 1) // 2]:
            return None
        if value < rules.SPIKE_OF_START * self._first_loss:
            return None
        if self._spike_step is not None and step - self._spike_step <= rules.SPIKE_REST:
            return None
        steps, losses = zip(*self._recent, (step, value), strict=True)
        alert = rules.loss_spike(np.array(steps), np.array(losses), first_loss=self._first_loss)
        if alert is None:
            return None
        self._spike_step = step
        self._alerts.note(AlertKind.SPIKE, None)  # the rest since the last one has ended its episode
        return alert if self._alerts.note(AlertKind.SPIKE, alert) else None

    def evaluated(self, step: int, validation_loss: float | None) -> None:
        """The loss on validation data after a step; None: not measured."""
        training = self._sum / self._n if self._n else math.nan
        self._sum, self._n = 0.0, 0
        self._evaluations.append((step, math.nan if validation_loss is None else validation_loss, training))
        steps, validation, trained = (np.array(column) for column in zip(*self._evaluations, strict=True))
        known = validation[np.isfinite(validation)]
        best = float(known.min()) if len(known) else math.inf
        if best < self._left_validation:  # the episodes of both last until there is a new best
            self._alerts.note(AlertKind.OVERFITTING, None)
            self._alerts.note(_BY_VALIDATION, None)
        self._left_validation = best
        for rule, look in ((AlertKind.OVERFITTING, rules.overfitting), (_BY_VALIDATION, rules.validation_divergence)):
            alert = look(steps, validation, trained)
            if alert is not None:
                self._alerts.note(rule, alert)

    def logged(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics that a script logged: its losses are told by their names."""
        for name, value in values.items():
            if name not in self._roles:
                self._roles[name] = loss_role(name)
            role = self._roles[name]
            if role == "training":
                self.loss(step, float(value))
            elif role == "validation":
                self.evaluated(step, float(value))


def loss_role(name: str) -> str | None:
    """Whether a metric is the loss on training or on validation data, by its name.

    >>> loss_role("train/loss"), loss_role("val_loss"), loss_role("eval/loss"), loss_role("test/loss"), loss_role("f1")
    ('training', 'validation', 'validation', None, None)
    """
    *before, last = name.lower().replace("_", "/").split("/")
    if last != "loss":
        return None
    if before in ([], ["train"], ["training"]):
        return "training"
    return "validation" if before in (["eval"], ["validation"], ["val"], ["valid"]) else None


class _Thinned:
    """A curve in at most `most` points: where there would be more, two become their mean, and so do all later ones."""

    def __init__(self, most: int) -> None:
        self.steps: list[int] = []
        self.losses: list[float] = []
        self._most = most
        self._width = 1
        self._sum, self._n = 0.0, 0

    def add(self, step: int, loss: float) -> bool:
        """Whether it completed a point."""
        self._sum, self._n = self._sum + loss, self._n + 1
        if self._n < self._width:
            return False
        self.steps.append(step)
        self.losses.append(self._sum / self._n)
        self._sum, self._n = 0.0, 0
        if len(self.losses) >= self._most:
            self.steps = self.steps[1::2]
            self.losses = [(a + b) / 2 for a, b in zip(self.losses[::2], self.losses[1::2], strict=True)]
            self._width *= 2
        return True
