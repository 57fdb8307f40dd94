"""Which trials hold which device, and for how long: what a sweep's budget of device hours is counted in."""

import time
from collections import Counter
from collections.abc import Callable, Mapping


class Occupancy:
    """Seconds of devices by trial, from when a place was given to it to its end, whatever it does there.

    What several trials hold at once is shared out between them, so that a device is never counted twice.

    >>> now = iter([0.0, 0.0, 10.0, 14.0]).__next__
    >>> held = Occupancy(now)
    >>> held.begin(1, "cuda:0")
    >>> held.begin(2, "cuda:0")  # 10 seconds later
    >>> held.unbooked()  # and 4 seconds after that
    {1: 12.0, 2: 2.0}
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._at = clock, clock()
        self._devices: dict[int, str | None] = {}  # by trial
        self._unbooked: dict[int, float] = {}

    @property
    def trials(self) -> tuple[int, ...]:
        """Those that have begun and not ended, by their keys in the store."""
        return tuple(self._devices)

    @property
    def waiting(self) -> tuple[int, ...]:
        """Those of them that hold no device now."""
        return tuple(trial for trial, device in self._devices.items() if device is None)

    def begin(self, trial: int, device: str | None) -> None:
        """A trial holds that device from now on; None: it has to wait for one, which costs nothing."""
        self._settle()
        self._devices[trial] = device

    def end(self, trial: int) -> None:
        """It has ended; safe to say twice."""
        self._settle()
        self._devices.pop(trial, None)

    def end_all(self) -> None:
        """Nobody holds a device any more."""
        self._settle()
        self._devices.clear()

    def unbooked(self) -> dict[int, float]:
        """Trial → seconds that nobody has written down yet."""
        self._settle()
        return dict(self._unbooked)

    def booked(self, seconds: Mapping[int, float]) -> None:
        """So much of it is written down now."""
        for trial, done in seconds.items():
            left = self._unbooked.pop(trial) - done
            if left > 0:
                self._unbooked[trial] = left

    def _settle(self) -> None:
        """Share the time since the last change out to those that held a device in it."""
        now = self._clock()
        n_on = Counter(self._devices.values())
        for trial, device in self._devices.items():
            if device is None:
                continue
            self._unbooked[trial] = self._unbooked.get(trial, 0.0) + (now - self._at) / n_on[device]
        self._at = now
