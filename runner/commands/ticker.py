"""A line now and then on stderr while a command is at work, so that a long one is not taken for a dead one."""

import time

import click

_SECONDS = 2.0


class Ticker:
    """`tick(text)` as often as you like; at most every two seconds it is shown, and at first not at all."""

    def __init__(self) -> None:
        self._shown_at = time.monotonic()

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if now - self._shown_at >= _SECONDS:
            self._shown_at = now
            click.echo(f"… {text}", err=True)
