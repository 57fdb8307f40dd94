"""What a run says of itself, in a sentence."""

from typing import NamedTuple

import pandas as pd

from dashboard.formats import count, interval, is_known, number, signed
from evals.metrics import find_metric
from store import Run, Status


def metric_title(name: str) -> str:
    """`macro_f1` → `macro F1`; a name that is not in the table of metrics stays as it is.

    >>> metric_title("validation/macro_f1"), metric_title("test/ndcg@5"), metric_title("mine")
    ('macro F1', 'nDCG@5', 'mine')
    """
    metric = find_metric(name)
    return metric.title_inside if metric is not None else name.rpartition("/")[2]


class Summary(NamedTuple):
    """A sentence about a run, and a warning about it or None; plain text."""

    sentence: str
    warning: str | None = None


def run_summary(run: Run, dataset: str | None, scores: pd.DataFrame, latest: pd.DataFrame) -> Summary:
    """The answer to "how did it go?": the best value with its interval, where it was reached, over what, and a warning.

    `scores` as `store.list_scores` gives them for this run, `latest` as `store.list_latest`.
    """
    start = f"{run.method or 'A run'}{f' on {dataset}' if dataset else ''}"
    if run.status in (Status.FAILED, Status.KILLED, Status.PRUNED):
        start = f"{run.status.capitalize()}: {run.cause or 'no cause was recorded'}. {start}"
    if run.status is Status.QUEUED:
        return Summary(f"{start}: waiting to be started.")
    best = _best(run, scores)
    if best is None:
        if latest.empty:
            return Summary(f"{start}: nothing was measured{' yet' if run.status is Status.RUNNING else ''}.")
        measured = f"{len(latest)} {'metric' if len(latest) == 1 else 'metrics'}"
        n_steps = count(latest["latest_step"].max())
        return Summary(f"{start}: {measured} over {n_steps} steps; no evaluation with scores was recorded.")
    split, metric = best["split"], best["metric"]
    ends = interval(best["low"], best["high"])
    sentence = f"{start}: {number(best['value'])} {metric_title(metric)} on {split}"
    sentence += f" (95 % interval {ends}, n = {count(best['n'])})" if ends != "–" else f" (n = {count(best['n'])})"
    of_metric = scores[(scores["split"] == split) & (scores["metric"] == metric)]
    sentence += f", {'so far ' if run.status is Status.RUNNING else ''}best {_when(best, of_metric)}"
    before = of_metric[of_metric["step"] == 0]["value"].dropna()
    if len(before) and best["step"] > 0 and is_known(best["value"]):
        sentence += f", {signed(best['value'] - before.iloc[0])} over the untrained model"
    return Summary(sentence + ".", _overfitting(best, scores))


def _best(run: Run, scores: pd.DataFrame) -> pd.Series | None:
    """The select metric at the best checkpoint; else the first metric of the newest evaluation."""
    if scores.empty:
        return None
    split, _, metric = (run.select_metric or "").rpartition("/")
    chosen = scores[(scores["split"] == split) & (scores["metric"] == metric)]
    if chosen.empty:
        chosen = scores[scores["metric"] == scores["metric"].iloc[0]]
    marked = chosen[chosen["is_best"].astype(bool)]
    return (marked if len(marked) else chosen).iloc[-1]


def _when(best: pd.Series, of_metric: pd.DataFrame) -> str:
    if is_known(best["epoch"]):
        return f"at epoch {best['epoch']:g} of {of_metric['epoch'].max():g}"
    return f"at step {count(best['step'])} of {count(of_metric['step'].max())}"


def _overfitting(best: pd.Series, scores: pd.DataFrame) -> str | None:
    losses = scores[(scores["split"] == best["split"]) & (scores["metric"] == "loss")].dropna(subset=["value"])
    at_best = losses[losses["step"] == best["step"]]["value"]
    after = losses[losses["step"] > best["step"]]["value"]
    if at_best.empty or after.empty or after.iloc[-1] <= at_best.iloc[0]:
        return None
    return (
        f"The loss on {best['split']} rises after that, from {number(at_best.iloc[0])} to {number(after.iloc[-1])}: "
        "a sign of over-fitting."
    )
