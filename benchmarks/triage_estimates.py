"""What the audit expects before anyone has looked, against what the truth reveals."""

from collections.abc import Sequence

import numpy as np

from benchmarks.measure import Figure
from benchmarks.triage_scores import Judged, quality

_PRECISION_OFF, _YIELD_OFF = 0.10, 0.15
REAL_NOISE = ("hausa",)
"""Sets whose errors are not planted: what is expected of them is reported and not judged."""


def _listed(judged: Judged) -> tuple[float, float]:
    """Of the labels that are listed as likely wrong, the share that is: where the likeliest label is the given one, and
    where it is another; nan where there are none."""
    audit = judged.audit
    n = round(audit.noise.value * audit.noise.n)
    listed = np.argsort(-audit.risk, kind="stable")[:n]
    is_kept, is_wrong = audit.suggestions.label[listed] == judged.data.given[listed], judged.data.is_wrong[listed]
    kept, changed = (is_wrong[each].mean() if each.any() else np.nan for each in (is_kept, ~is_kept))
    return float(kept), float(changed)


def estimate_figures(name: str, judged: Sequence[Judged]) -> list[Figure]:
    """Precision at k, noise rate and yield of one set, a sample a seed."""
    is_planted = name not in REAL_NOISE
    at_100, at_errors, by_score, rates, off, worst = [], [], [], [], [], []
    for data, audit, _ in judged:
        is_wrong = data.is_wrong
        n, n_wrong = len(is_wrong), int(is_wrong.sum())
        found = np.append(0, np.cumsum(is_wrong[np.argsort(-audit.risk, kind="stable")]))
        expected = np.interp(np.arange(n + 1), audit.curve["n_reviewed"], audit.curve["n_found"])
        at_100.append(abs(expected[100] - found[100]) / 100)
        at_errors.append(abs(expected[n_wrong] - found[n_wrong]) / n_wrong)
        table = audit.comparison.set_index("score")
        measured = [score for score in table.index if not np.isnan(table["average_precision"][score])]
        by_score.append(
            float(
                np.mean(
                    [
                        abs(
                            table["average_precision"][score] - quality(audit.scores[score], is_wrong).average_precision
                        )
                        for score in measured
                    ]
                )
            )
        )
        rates.append(audit.noise.value)
        looks = np.unique(np.linspace(min(100, n_wrong // 2), min(2 * n_wrong, n), 40).astype(int))
        relative = np.abs(expected[looks] - found[looks]) / np.maximum(found[looks], 1)
        off.append(float(relative.mean()))
        worst.append(float(relative.max()))
    kept, changed = zip(*(_listed(each) for each in judged), strict=True)
    ends = ", ".join(f"{each.audit.noise.low:.3f} to {each.audit.noise.high:.3f}" for each in judged)
    truth = judged[0].data.is_wrong.mean()
    return [
        Figure(
            f"{name}: precision at 100, expected off by", at_100, "", at_most=_PRECISION_OFF if is_planted else None
        ),
        Figure(
            f"{name}: precision at the number of errors, expected off by",
            at_errors,
            "",
            at_most=_PRECISION_OFF if is_planted else None,
        ),
        Figure(f"{name}: average precision by canaries, all scores, off by", by_score, "", note="mean over scores"),
        Figure(f"{name}: noise rate", rates, "", note=f"truth {truth:.3f}, intervals {ends}"),
        Figure(f"{name}: listed, and its own label the likeliest: wrong", kept, "", note="of as many as are expected"),
        Figure(f"{name}: listed, and another label the likeliest: wrong", changed, ""),
        Figure(
            f"{name}: yield of the queue, expected off by",
            off,
            "of it",
            at_most=_YIELD_OFF if is_planted else None,
            note=f"mean over looks up to twice the errors; the worst: {', '.join(f'{each:.2f}' for each in worst)}",
        ),
    ]
