"""Why the work of this process is interrupted, said by the thread that does it: a signal says only its own name."""

_said: str | None = None  # an interrupt is the process's, and so is its reason


def say(reason: str) -> None:
    """Give the reason of the interrupt or the pause that follows, such as `its job was cancelled`."""
    global _said
    _said = reason


def take(interruption: BaseException) -> str:
    """The cause of what was interrupted: the reason that was given, which then is used up, or what interrupted it.

    >>> take(KeyboardInterrupt("Ctrl-C"))
    'interrupted (Ctrl-C)'
    >>> say("its job was cancelled")
    >>> take(KeyboardInterrupt("Ctrl-C")), take(KeyboardInterrupt("Ctrl-C"))
    ('its job was cancelled', 'interrupted (Ctrl-C)')
    >>> take(KeyboardInterrupt())
    'interrupted'
    """
    global _said
    reason, _said = _said, None
    how = f" ({interruption})" if str(interruption) else ""
    return reason or f"interrupted{how}"


def forget() -> None:
    """Nothing is interrupted by now: a reason that was given before was for work that ended by itself."""
    global _said
    _said = None
