"""How good predicted spans are: each type, and how what is said differs from what is given."""

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import UNKNOWN, count
from dashboard.source import Source
from evals.triage.spans import SpanKind
from store import Evaluation


def render(source: Source, evaluation: Evaluation, dataset_key: int) -> None:
    """A table of types, and one of the sentences with each kind of difference."""
    types = queries.type_table(source.path, evaluation, dataset_key)
    sentences = queries.span_table(source.path, evaluation, dataset_key)
    st.markdown(f"###### Each type · 95 % interval of F1 · n = {count(len(sentences))} sentences")
    column = st.column_config.NumberColumn
    st.dataframe(
        types,
        column_config={
            "type": st.column_config.TextColumn("type", width=200),
            "n": column("n", format="%,d", width=70, help="Spans that are given."),
            "n_predicted": column("predicted", format="%,d", width=84, help="Spans that the model says."),
            "precision": column("precision", format="%.3f", width=84),
            "recall": column("recall", format="%.3f", width=76),
            "f1": st.column_config.ProgressColumn("F1", format="%.3f", min_value=0, max_value=1, width=140),
            "f1_low": column("from", format="%.3f", width=72, help="Lower end of the 95 % interval of F1."),
            "f1_high": column("to", format="%.3f", width=72, help="Upper end of the 95 % interval of F1."),
        },
        hide_index=True, height="content" if len(types) <= 14 else 480, placeholder=UNKNOWN, key="span-types",
    )  # fmt: skip
    st.markdown("###### Sentences with a difference")
    st.dataframe(
        kind_counts(sentences), hide_index=True, height="content", placeholder=UNKNOWN, key="span-kinds",
        column_config={"share": st.column_config.NumberColumn("share", format="percent")},
    )  # fmt: skip
    st.caption("Examples shows them, narrowed to a kind and a type.")


def kind_counts(sentences: pd.DataFrame) -> pd.DataFrame:
    """Of `dashboard.spans.kinds_table`: columns kind, sentences, share; a sentence may have several kinds.

    >>> table = pd.DataFrame([(0, ("missed", "ghost"), ("LOC",)), (1, (), ())], columns=["position", "kinds", "types"])
    >>> kind_counts(table)["sentences"].tolist()
    [0, 0, 1, 1]
    """
    counts = [int(sentences["kinds"].map(lambda kinds, kind=kind: kind in kinds).sum()) for kind in SpanKind]
    return pd.DataFrame(
        {"kind": [kind.value for kind in SpanKind], "sentences": counts, "share": [n / len(sentences) for n in counts]}
    )
