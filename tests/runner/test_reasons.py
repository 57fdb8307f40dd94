"""Why something was interrupted: what was said of it, once."""

import doctest

import runner.reasons
from runner import reasons


def test_doctests() -> None:
    assert doctest.testmod(runner.reasons).attempted >= 3
    assert doctest.testmod(runner.reasons).failed == 0


def test_the_newest_reason_counts() -> None:
    reasons.say("its job was paused")
    reasons.say("its job was cancelled")
    assert reasons.take(KeyboardInterrupt()) == "its job was cancelled"
