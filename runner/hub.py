"""Asking the model hub whether it is there, before a library waits a minute to find out that it is not."""

import threading
from typing import Literal

from runner.errors import UserError

CONNECT_SECONDS = 3.0


class HubUnreachable(UserError):
    """The hub cannot be asked; the text says why and what to do instead."""


def require_hub(name: str, kind: Literal["model", "dataset", "metric"]) -> None:
    """Return when the hub answers; raise `HubUnreachable` within about `CONNECT_SECONDS` when it does not.

    Any answer below 500 counts, also "not found": whether `name` exists is for the real request to find out.
    The endpoint is `huggingface_hub`'s own, so `HF_ENDPOINT`, proxies and `HF_HUB_OFFLINE` are honoured.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode():
        raise HubUnreachable(_message(name, kind, "HF_HUB_OFFLINE is set, so the hub is not asked"))
    reason = _unreachable_because(constants.ENDPOINT)
    if reason:
        raise HubUnreachable(_message(name, kind, f"{constants.ENDPOINT} cannot be reached ({reason})"))


def _unreachable_because(endpoint: str) -> str | None:
    """Why the endpoint does not answer; None when it does."""
    from huggingface_hub import get_session

    outcome: list[str | None] = []

    def ask() -> None:
        try:
            status = get_session().head(endpoint, timeout=CONNECT_SECONDS).status_code
            outcome.append(f"it answered {status}" if status >= 500 else None)
        except Exception as error:  # every way to fail to connect is the same news
            outcome.append(str(error) or type(error).__name__)

    # In a thread of its own: a name server that does not answer holds a connection attempt longer than its timeout.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS + 0.5)
    return outcome[0] if outcome else f"no answer within {CONNECT_SECONDS:g} seconds"


def _message(name: str, kind: str, reason: str) -> str:
    here = {
        "model": "a local folder, builtin:minilm or scratch:TYPE as model.base",
        "dataset": "a local file, a folder written by datasets.save_to_disk or builtin:docstrings as data.source",
        "metric": "one of the metrics that come with us (`runner.metrics.module_names()`) or a file",
    }[kind]
    return (
        f'hub {kind} "{name}": {reason}, and it is not in the local cache. '
        f"Connect to the network (or set HF_ENDPOINT to a mirror), or use {here}."
    )
