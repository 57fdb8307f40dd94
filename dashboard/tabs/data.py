"""The data of a run before any training: what `runner profile` measured of its dataset version."""

import time
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.counts import count_chart
from dashboard.charts.lengths import length_chart
from dashboard.formats import UNKNOWN, age, count, escape, number
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import tabs
from dashboard.parts.drawing import draw
from dashboard.source import Source
from store import Profile, Run

_MOST_LABELS = 40
_MOST_LANGUAGES = 8


def render(source: Source, run: Run) -> None:
    """A table of the splits, then lengths, labels and languages of the chosen one."""
    if run.dataset_key is None:
        st.info("This run was recorded without a dataset.", icon=":material/info:")
        return
    dataset = queries.dataset(source.path, run.dataset_key)
    st.markdown(f"###### {escape(str(dataset))}")
    if dataset.cleaning is not None:
        st.caption(f"Its texts were cleaned before they were stored: {escape(dataset.cleaning)}.")
    profiles = queries.profiles(source, run.dataset_key)
    if not profiles:
        st.info(
            "Nobody has looked at these data before training: how many tokens an example has, what is cut, copies,"
            " languages. This command does, and the answer stands here:",
            icon=":material/straighten:",
        )
        st.code("runner profile RECIPE", language="sh")
        return
    chosen = _chosen(profiles)
    found = chosen.profile
    st.caption(
        f"Tokens of {escape(str(found['tokenizer']))}, {_rooms(found)}, measured {age(chosen.created_at, time.time())}."
    )
    st.dataframe(
        split_table(found), hide_index=True, placeholder=UNKNOWN, key="profile-splits", column_config=_columns()
    )
    for sentence in leak_sentences(found):
        st.warning(escape(sentence), icon=":material/content_copy:")
    names = list(found["splits"])
    name = tabs("Split", names, key="profile-split") if len(names) > 1 else names[0]
    _split(found, found["splits"][name])
    behind(
        opening(source.path, "get_dataset", "list_profiles")
        + f"\nprofile = list_profiles(store, get_dataset(store, {str(dataset)!r}).key)[0].profile"
    )


def _chosen(profiles: list[Profile]) -> Profile:
    """The newest, or the one that a person picks by its tokenizer."""
    if len(profiles) == 1:
        return profiles[0]
    places = st.selectbox(
        "Measured with", range(len(profiles)), key="profile-chosen",
        format_func=lambda place: f"{profiles[place].profile['tokenizer']}, {_rooms(profiles[place].profile)}",
    )  # fmt: skip
    return profiles[places or 0]


def _rooms(found: Mapping[str, Any]) -> str:
    targets = found.get("max_target_length")
    return f"at most {count(found['max_length'])}" + ("" if targets is None else f" and {count(targets)} of targets")


def split_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """A row a split; shares in [0, 1], missing where nothing was measured."""
    return pd.DataFrame(
        [
            {
                "split": name,
                "examples": split["n_examples"],
                "tokens": split["tokens"]["total"],
                **{each: split["tokens"]["quantiles"].get(each) for each in ("p5", "p50", "p95", "max")},
                "cut": _share(split["truncated"]),
                "no room": _share(split["no_room"]),
                "tokens a word": split["tokens_per_word"],
                "unknown": _share(split["unknown_tokens"]),
                "copies": split["duplicates"]["n"],
                "differ": split["duplicates"]["n_conflicting"],
                "imbalance": (split["labels"] or {}).get("imbalance"),
            }
            for name, split in found["splits"].items()
        ]
    )


def _share(found: Mapping[str, Any] | None) -> float | None:
    return None if found is None else found["share"]


def _columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "tokens": column.NumberColumn(format="localized"),
        "cut": column.NumberColumn(format="percent", help="Examples that lose their end at the longest length."),
        "no room": column.NumberColumn(format="percent", help="Prompts that leave no room for an answer."),
        "tokens a word": column.NumberColumn(format="%.2f", help="Of words as blanks separate them; 1 is the least."),
        "unknown": column.NumberColumn(format="percent", help="Tokens that the tokenizer does not know."),
        "copies": column.NumberColumn(help="Examples with the same inputs as an earlier one of the split."),
        "differ": column.NumberColumn(help="Of those the ones with another target."),
        "imbalance": column.NumberColumn(format="%.1f", help="The commonest label over the rarest that occurs."),
    }


def leak_sentences(found: Mapping[str, Any]) -> list[str]:
    """What two splits have in common."""
    return [
        f"{count(leak['n'])} of {count(leak['of'])} examples of {leak['in']} {'is' if leak['n'] == 1 else 'are'} in "
        f"{leak['from']} too."
        for leak in found["leaks"]
    ]


def _split(found: Mapping[str, Any], split: Mapping[str, Any]) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        room = float(found["max_length"])
        draw(length_chart, bins(split["tokens"]), key="profile-tokens", unit="tokens of an example", room=room)
        if split["answer_tokens"]:
            draw(length_chart, bins(split["answer_tokens"]), key="profile-answers", unit="tokens of the answer")
        if split["numbers"]:
            draw(length_chart, bins(split["numbers"]), key="profile-numbers", unit="target")
    with right:
        if split["labels"]:
            labels = count_frame(split["labels"]["counts"], _MOST_LABELS)
            draw(count_chart, labels, key="profile-labels", title="labels")
            if split["labels"]["n_without"]:
                st.caption(f"{count(split['labels']['n_without'])} examples have none.")
        languages = count_frame(split["languages"]["counts"], _MOST_LANGUAGES)
        draw(count_chart, languages, key="profile-languages", title="languages, as far as they can be told")
        if split["languages"]["n"] < split["n_examples"]:
            st.caption(f"Of {count(split['languages']['n'])} texts, evenly spread over the split.")
    fertility = number(split["tokens_per_word"], 2)
    st.caption(f"{count(split['n_words'])} words, {fertility} tokens each.")


def bins(found: Mapping[str, Any]) -> pd.DataFrame:
    """A distribution's histogram: columns low, high, n."""
    edges = found["edges"]
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n": found["counts"]})


def count_frame(counts: Mapping[str, int], most: int) -> pd.DataFrame:
    """The commonest first: columns label, n; what comes after `most` of them is one row."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    rows = [(label or "cannot be told", n) for label, n in ordered[:most]]
    if len(ordered) > most:
        rows.append((f"{len(ordered) - most} more", sum(n for _, n in ordered[most:])))
    return pd.DataFrame(rows, columns=["label", "n"])
