"""`runner profile RECIPE`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from runner.commands.options import UNKNOWN, echo_json, json_option, open_or_make, store_option, table

_COLUMNS = ("p5", "p50", "p95", "p99", "max")
_MOST_LABELS = 12
_MOST_LANGUAGES = 5
_BAR = 32


@click.command("profile")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Override a value, such as model.base=gpt2.")
@json_option
@store_option
def command(recipe: Path, overrides: tuple[str, ...], as_json: bool, store_path: Path | None) -> None:
    """Show what RECIPE's data look like to its model: tokens, what is cut, labels, copies, languages.

    Nothing is trained and no weights are loaded. The data set is put into the store, as training would, and the profile
    beside it: the page of a run shows it. See docs/profile.md.
    """
    from runner.data import check_data, prepare_data
    from runner.location import check_locations
    from runner.recipe import load_recipe

    loaded = load_recipe(recipe, overrides)
    check_locations(loaded.recipe)
    store = open_or_make(store_path, lambda: check_data(loaded.recipe))
    data = prepare_data(store, loaded.recipe)
    from runner.quiet import quiet_libraries

    quiet_libraries()
    from runner.profile import profile_data

    found = profile_data(store, data.dataset, loaded.recipe)
    if as_json:
        echo_json(found)
        return
    for text in data.warnings:
        click.echo(f"warning: {text}", err=True)
    for line in lines(found):
        click.echo(line)


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The profile in words, as `runner.profile.profile_data` returns it."""
    splits = found["splits"]
    room = f"at most {found['max_length']:,} tokens"
    if found["max_target_length"] is not None:
        room += f", of targets {found['max_target_length']:,}"
    yield f"{found['dataset']} as {found['task']}, tokens of {found['tokenizer']}, {room}"
    yield ""
    headers = ["split", "examples", "tokens", *_COLUMNS, "cut", "a word", "unknown", "copies"]
    rows = [_row(name, split) for name, split in splits.items()]
    yield table(headers, rows, right=range(1, len(headers)))
    answers = [(name, split["answer_tokens"]) for name, split in splits.items() if split["answer_tokens"]]
    if answers:
        yield ""
        cells = [[name, f"{each['total']:,.0f}", *_quantiles(each)] for name, each in answers]
        yield table(["tokens of answers", "tokens", *_COLUMNS], cells, right=range(1, 2 + len(_COLUMNS)))
    if "train" in splits:
        yield ""
        yield "tokens of a training example"
        yield from _histogram(splits["train"]["tokens"])
    yield from _labels(splits)
    yield from _languages(splits)
    yield from _sentences(found)


def _row(name: str, split: dict[str, Any]) -> list[str]:
    copies = split["duplicates"]
    conflicting = f" ({copies['n_conflicting']:,} differ)" if copies["n_conflicting"] else ""
    fertility = split["tokens_per_word"]
    return [
        name,
        f"{split['n_examples']:,}",
        f"{split['tokens']['total']:,.0f}",
        *_quantiles(split["tokens"]),
        percent(split["truncated"]),
        UNKNOWN if fertility is None else f"{fertility:.2f}",
        percent(split["unknown_tokens"]),
        f"{copies['n']:,}{conflicting}",
    ]


def _quantiles(found: dict[str, Any]) -> list[str]:
    return [f"{found['quantiles'][name]:,.0f}" for name in _COLUMNS]


def percent(share: dict[str, Any] | None) -> str:
    """
    >>> percent({"n": 1, "of": 400, "share": 0.0025}), percent({"n": 0, "of": 4, "share": 0.0}), percent(None)
    ('0.25 %', '0', '–')
    """
    if share is None or share["share"] is None:
        return UNKNOWN
    return (
        "0" if not share["n"] else f"{100 * share['share']:.2g} %" if share["share"] < 0.1 else f"{share['share']:.0%}"
    )


def _histogram(found: dict[str, Any]) -> Iterator[str]:
    most = max(found["counts"], default=0)
    width = len(f"{found['edges'][-1]:,.0f}") if found["edges"] else 0
    for low, n in zip(found["edges"], found["counts"], strict=False):
        bar = "█" * round(_BAR * n / most)
        yield f"  from {low:>{width},.0f}  {bar or ('▏' if n else '')} {n:,}"


def _labels(splits: dict[str, Any]) -> Iterator[str]:
    with_labels = {name: split["labels"] for name, split in splits.items() if split["labels"]}
    if not with_labels:
        return
    yield ""
    first = next(iter(with_labels.values()))
    names = sorted(first["counts"], key=lambda label: -first["counts"][label])
    rows = [[label, *(f"{each['counts'][label]:,}" for each in with_labels.values())] for label in names[:_MOST_LABELS]]
    yield table(["label", *with_labels], rows, right=range(1, 1 + len(with_labels)))
    if len(names) > _MOST_LABELS:
        yield f"and {len(names) - _MOST_LABELS:,} more, the rarest {names[-1]} ({first['counts'][names[-1]]:,})"


def _languages(splits: dict[str, Any]) -> Iterator[str]:
    yield ""
    for name, split in splits.items():
        found = split["languages"]
        shown = [
            f"{language or 'cannot be told'} {n / found['n']:.0%}"
            for language, n in list(found["counts"].items())[:_MOST_LANGUAGES]
        ]
        yield f"languages of {name}: {', '.join(shown)}"


def _sentences(found: dict[str, Any]) -> Iterator[str]:
    """What a person may want to do something about."""
    notes = []
    for name, split in found["splits"].items():
        cut, rooms = split["truncated"], split["no_room"]
        if cut and cut["n"]:
            longest = split["tokens"]["quantiles"]["max"]
            notes.append(
                f"{cut['n']:,} of {cut['of']:,} examples of {name} are cut at {found['max_length']:,} tokens; the "
                f"longest has {longest:,.0f} (model.max_length)"
            )
        if rooms and rooms["n"]:
            notes.append(f"{rooms['n']:,} of {rooms['of']:,} prompts of {name} leave no room for an answer")
        labels = split["labels"]
        missing = [label for label, n in labels["counts"].items() if not n] if labels else []
        if missing:
            more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
            notes.append(f"no example of {name} has the label {', '.join(missing[:5])}{more}")
    for leak in found["leaks"]:
        verb = "is" if leak["n"] == 1 else "are"
        notes.append(f"{leak['n']:,} of {leak['of']:,} examples of {leak['in']} {verb} in {leak['from']} too")
    if notes:
        yield ""
        yield from (f"! {note}" for note in notes)
