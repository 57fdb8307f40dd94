"""`runner push RUN --repo NAME`."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.commands.options import echo_json, json_option, open_reconciled, size, store_option, table, what_is_written

if TYPE_CHECKING:
    from runner.publish.push import Destination


@click.command("push")
@click.argument("run", metavar="RUN")
@click.option("--repo", required=True, metavar="NAME", help="OWNER/NAME on the hub; without OWNER, the token's own.")
@click.option("--private", is_flag=True, help="Make a repository that only its owner sees.")
@click.option("--token-env", metavar="VARIABLE", help="Environment variable that holds the token (default: HF_TOKEN).")
@click.option("--dry-run", is_flag=True, help="Only list what would be pushed, with sizes; the hub is not asked.")
@what_is_written
@json_option
@store_option
def command(
    run: str,
    repo: str,
    private: bool,
    token_env: str | None,
    dry_run: bool,
    wanted: Any,
    extras: tuple[str, ...],
    step: int | None,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Put RUN's best checkpoint on a model hub, as `runner export` writes it, with its model card.

    Optimizer state and training text stay here unless --with asks for them. The hub is HF_ENDPOINT, else
    huggingface.co. A repository that is there gets one more commit. See docs/publish.md.
    """
    from runner.errors import UserError
    from runner.publish.plan import plan_export
    from runner.publish.push import check_name, check_token, list_files, push_folder, read_token, require_destination
    from store import get_run

    store = open_reconciled(store_path)
    problems = list(check_name(repo))
    token = None if dry_run else read_token(token_env)
    if not dry_run:
        problems += check_token(token, token_env)
    try:
        plan = plan_export(store, get_run(store, run), step=step, wanted=wanted, extras=extras)
    except UserError as error:
        problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    destination = None if token is None else require_destination(repo, token, private=private)
    from runner.quiet import quiet_libraries

    quiet_libraries()
    from runner.interrupts import Interrupted, held_interrupts
    from runner.publish.export import export

    try:
        with (
            tempfile.TemporaryDirectory(prefix=".push-", dir=store.path.parent) as temporary,
            held_interrupts() as interrupts,
            interrupts.let_through(),
        ):
            done = export(plan, Path(temporary) / "model")
            files = list_files(done.folder)
            if not as_json:
                click.echo(table(["file", "size"], [[name, size(n)] for name, n in files.items()], right=(1,)))
            if destination is None:
                _say_dry(repo, files, as_json=as_json)
                return
            message = f"{plan.run.name} ({plan.run.id}), step {plan.checkpoint.step}"
            pushed = push_folder(done.folder, destination, message)
    except Interrupted:
        click.echo("interrupted: the hub has all of the last commit that it confirmed, and nothing else", err=True)
        sys.exit(130)
    if as_json:
        private = destination.is_private
        echo_json({"url": pushed.url, "commit": pushed.commit, "private": private, "files": pushed.files})
        return
    click.echo(f"{plan.run.name} ({plan.run.id}), step {plan.checkpoint.step:,}: {pushed.url}{_who(destination)}")


def _say_dry(repo: str, files: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        echo_json({"repo": repo, "files": files, "bytes": sum(files.values()), "pushed": False})
    else:
        click.echo(f"{len(files)} files, {size(sum(files.values()))}; nothing was pushed to {repo}")


def _who(destination: "Destination") -> str:
    seen = "private" if destination.is_private else "everybody can read it"
    return f" ({'new, ' if destination.is_new else ''}{seen})"
