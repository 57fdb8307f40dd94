"""An exported folder on a model hub, through huggingface_hub. Loads no torch.

What stands against it is said before anything is exported: no token, a name that cannot be one, a hub that does not
answer, a token that it does not take, a repository that others can see where a private one was asked for.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.hub import HubUnreachable

_REPO = re.compile(r"^([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]{0,95}$")


class PushRefused(UserError):
    """The hub, or what it was asked for, stands against it; the text says what to do."""


@dataclass(frozen=True)
class Destination:
    """A repository that can be written to."""

    repo: str
    token: str
    is_private: bool
    is_new: bool
    endpoint: str


@dataclass(frozen=True)
class Pushed:
    """What the hub said."""

    url: str
    commit: str
    files: dict[str, int]
    """Path → bytes."""


def read_token(environment: str | None) -> str | None:
    """The token of that environment variable; None: huggingface_hub's own (HF_TOKEN, `hf auth login`)."""
    if environment is not None:
        return os.environ.get(environment, "").strip() or None
    from huggingface_hub import get_token

    return get_token()


def check_name(repo: str) -> Iterator[str]:
    """What is wrong with a repository's name."""
    if not _REPO.match(repo) or ".." in repo or "--" in repo or repo.endswith((".git", ".", "-")):
        yield (
            f"--repo {repo!r}: must be NAME or OWNER/NAME of letters, digits, . _ and - "
            "(no -- or .., not ending in .git)."
        )


def check_token(token: str | None, environment: str | None) -> Iterator[str]:
    """What is wrong with a token before the hub is asked."""
    if token is None:
        where = f"the environment variable {environment} is not set" if environment else "no token was found"
        yield (
            f"{where}: make one that may write at https://huggingface.co/settings/tokens, then set HF_TOKEN "
            "(or another variable and --token-env), or run `hf auth login`."
        )


def require_destination(repo: str, token: str, *, private: bool) -> Destination:
    """Ask the hub whether it takes the token and the name. Writes nothing. Raises PushRefused, HubUnreachable."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import RepositoryNotFoundError

    if constants.is_offline_mode():
        raise HubUnreachable("HF_HUB_OFFLINE is set, so nothing can be pushed. Unset it, or use `runner export`.")
    api = HfApi(token=token)
    owner = str(_asked(api, api.whoami, "who the token belongs to")["name"])
    full = repo if "/" in repo else f"{owner}/{repo}"
    try:
        info = _asked(api, partial(api.model_info, full), f"about {full}")
    except RepositoryNotFoundError:
        return Destination(full, token, private, True, api.endpoint)
    if private and not info.private:
        raise PushRefused(
            f"{full} is there already and everybody can read it; --private would not change that. "
            "Make it private on its page, or choose another name."
        )
    return Destination(full, token, bool(info.private), False, api.endpoint)


def push_folder(folder: Path, destination: Destination, message: str) -> Pushed:
    """Make the repository where it is new and put the folder into it as one commit. Raises PushRefused."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(token=destination.token)
    files = list_files(folder)
    if destination.is_new:
        make = partial(api.create_repo, destination.repo, private=destination.is_private)
        _asked(api, make, f"to make {destination.repo}")
    operations = [CommitOperationAdd(name, folder / name) for name in files]
    commit = partial(api.create_commit, destination.repo, operations, commit_message=message)
    info = _asked(api, commit, f"to take {len(files)} files into {destination.repo}")
    return Pushed(f"{destination.endpoint}/{destination.repo}", str(info.oid), files)


def list_files(folder: Path) -> dict[str, int]:
    """Path → bytes of every file, by path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}


def _asked(api: Any, ask: Callable[[], Any], what: str) -> Any:
    """The hub's answer; what can go wrong in words. RepositoryNotFoundError goes on to the caller."""
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    try:
        return ask()
    except RepositoryNotFoundError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        advice = {
            401: "It does not take the token: make a new one.",
            403: "The token may not do that: it needs the right to write, in that owner's name.",
            429: "It asks to wait: try again later.",
        }.get(status, "Try again later." if status >= 500 else "")
        reason = error.server_message or str(error).splitlines()[0]
        raise PushRefused(
            f"{api.endpoint} was asked {what} and answered {status}: {reason} {advice}".strip()
        ) from error
    except (ValueError, RuntimeError) as error:  # huggingface_hub's own checks, and uploads that failed
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise PushRefused(f"{api.endpoint} was asked {what}: {error}{cause}") from error
    except Exception as error:
        if not isinstance(error, OSError) and not type(error).__module__.startswith("http"):
            raise  # the HTTP library, whose name changes with huggingface_hub's versions, has no other errors
        said = str(error) or type(error).__name__
        raise HubUnreachable(
            f"{api.endpoint} was asked {what} and did not answer ({said}). Connect to the network, or set HF_ENDPOINT."
        ) from error
