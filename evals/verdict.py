"""What a comparison means: better, not better, or not separable yet (needs about n more examples)."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from evals.metrics import get_metric
from evals.paired import ALPHA, Flips

Answer = Literal["better", "not better", "not separable yet"]


class Verdict(NamedTuple):
    """One of the three answers about B against A.

    n_more: for "not separable yet", about how many more examples would settle it if the difference is what it
    looks like (power 0.8, alpha 0.05); None where no number is known to.
    """

    answer: Answer
    n_more: int | None
    sentence: str


def verdict(
    row: Mapping[str, Any],
    *,
    name_a: str = "A",
    name_b: str = "B",
    smallest_gain: float = 0.0,
    alpha: float = ALPHA,
) -> Verdict:
    """Judge one row of `compare_pair(...).to_dict("records")`.

    "better": p_holm < alpha and B is ahead. "not better": p_holm < alpha and B is behind, or the whole
    interval lies below `smallest_gain`, the smallest gain worth having, in the metric's own unit (default 0
    = any gain). Else "not separable yet".

    >>> row = {"metric": "accuracy", "difference": 0.01, "low": -0.004, "high": 0.024, "p_holm": 0.2,
    ...        "n": 1000, "n_needed": 3923.0, "higher_is_better": True}
    >>> verdict(row).sentence
    'not separable yet (needs about 3,000 more examples)'
    """
    if np.isnan(row["difference"]):
        return Verdict("not separable yet", None, "not separable yet (not measured)")
    sign = 1 if row["higher_is_better"] else -1
    gain, best = sign * row["difference"], max(sign * row["low"], sign * row["high"])
    is_separated = row["p_holm"] < alpha
    if is_separated and gain > 0:
        return Verdict("better", None, f"{name_b} is better than {name_a}")
    if is_separated and gain < 0:
        return Verdict("not better", None, f"{name_b} is not better than {name_a}: it is worse")
    if best < smallest_gain:
        reason = f"any gain is below {_amount(row['metric'], smallest_gain)}" if smallest_gain else "no gain"
        return Verdict("not better", None, f"{name_b} is not better than {name_a}: {reason}")
    if not row["n_needed"] > 0:
        return Verdict("not separable yet", None, "not separable yet (no difference to size a sample by)")
    n_more = max(1, int(row["n_needed"]) - int(row["n"]))
    return Verdict("not separable yet", n_more, f"not separable yet (needs about {_about(n_more)} more examples)")


def headline(
    row: Mapping[str, Any], flips: Flips | None = None, *, p_flips: float = np.nan, name_a: str = "A", name_b: str = "B"
) -> str:
    """The sentence at the head of a comparison: one row of `compare_pair`, and where there are classes the flips and
    McNemar's p.

    >>> row = {"metric": "macro_f1", "difference": 0.03, "low": 0.009, "high": 0.051, "p_holm": 0.004,
    ...        "n": 1429, "n_needed": 1000.0, "higher_is_better": True}
    >>> for sentence in headline(row, Flips(93, 50, 900, 386), p_flips=0.000406).split(". "): print(sentence)
    B beats A by +3.0 points macro F1 (95 % interval 0.9 to 5.1, paired, n = 1,429)
    93 fixed, 50 broken, McNemar p = .0004.
    """
    found = verdict(row, name_a=name_a, name_b=name_b)
    metric = get_metric(row["metric"])
    scale = 100 if metric.unit == "fraction" else 1
    digits = 1 if metric.unit == "fraction" else 3
    low, high = (_minus(f"{scale * row[end]:.{digits}f}") for end in ("low", "high"))
    interval = f"95 % interval {low} to {high}" if np.isfinite([row["low"], row["high"]]).all() else "no interval"
    amount = f"{_amount(row['metric'], row['difference'])} {metric.title_inside} ({interval}, paired, n = {row['n']:,})"
    if found.answer == "better":
        start = f"{name_b} beats {name_a} by {amount}"
    elif found.answer == "not better":
        start = f"{found.sentence}: {amount}" if ":" not in found.sentence else f"{found.sentence}, {amount}"
    else:
        start = f"{name_b} against {name_a}: {found.sentence}; {amount}"
    if flips is None:
        return f"{start}."
    return f"{start}. {flips.fixed:,} fixed, {flips.broken:,} broken, McNemar p {p_text(p_flips)}."


def p_text(p: float) -> str:
    """A p-value as it is printed: two digits from .01 up, one below, never "= 0".

    >>> p_text(0.000405), p_text(0.0312), p_text(0.000004), p_text(1.0), p_text(float("nan"))
    ('= .0004', '= .031', '< .0001', '= 1', 'not measured')
    """
    if not p >= 0:
        return "not measured"
    if p < 0.0001:
        return "< .0001"
    if p >= 0.9995:
        return "= 1"
    return "= " + (f"{p:.4f}" if p < 0.001 else f"{p:.3f}").removeprefix("0")


def _about(count: int) -> str:
    """A count to two significant digits, rounded up: a sample size is an estimate."""
    step = 10 ** max(0, len(str(count)) - 2)
    return f"{-(-count // step) * step:,}"


def _amount(metric: str, value: float) -> str:
    """A signed amount in the unit people say: points for fractions."""
    unit = get_metric(metric).unit
    if unit == "correlation":  # which the metric's title says
        return _minus(f"{value:+.3f}")
    return f"{_minus(f'{100 * value:+.1f}')} points" if unit == "fraction" else f"{_minus(f'{value:+.3f}')} {unit}"


def _minus(text: str) -> str:
    """A number with a true minus sign."""
    return text.replace("-", "−")
