"""The runner: recipes, data, training and the command line. The only package that knows torch.

For scripts of your own: `start_run` for any loop, `AssayCallback` for any `transformers.Trainer`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.callback import AssayCallback
    from runner.script import ScriptRun, start_run

__all__ = ["AssayCallback", "ScriptRun", "start_run"]


def __getattr__(name: str) -> Any:
    """Loaded on first use: importing `runner` must not load torch."""
    if name == "AssayCallback":
        from runner.callback import AssayCallback

        return AssayCallback
    if name in ("start_run", "ScriptRun"):
        from runner import script

        return getattr(script, name)
    raise AttributeError(f"module 'runner' has no attribute {name!r}")
