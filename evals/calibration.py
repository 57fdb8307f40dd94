"""Does a confidence of 0.8 mean right eight times in ten?"""

import numpy as np
import numpy.typing as npt

from evals.intervals import UNKNOWN, Estimate, Floats, percentile_interval, resample_counts

ECE_BINS = 15
_SUB_BINS = 10  # per bin, for the bootstrap: see expected_calibration_error


def expected_calibration_error(
    confidence: Floats, right: npt.NDArray[np.bool_], *, n_boot: int = 1000, seed: int = 0
) -> Estimate:
    """Gap between confidence and accuracy, averaged over 15 equal-width bins: 0 = calibrated, 1 = worst.

    confidence (n,) in [0, 1], right (n,) bool. sum_b n_b / n * |accuracy_b - confidence_b| over the bins
    ((b-1)/15, b/15]. Source: Guo et al., On Calibration of Modern Neural Networks (2017).

    The value is biased upwards (chance makes gaps even in a calibrated model) and a percentile interval
    doubles that bias, so the interval is the basic bootstrap's, 2 value - quantile, stretched to hold the
    value and down to 0 where a perfectly calibrated model would often (more than 1 in 40) score as high. The
    bootstrap draws cells of 1/10 bin x right/wrong at their mean confidence. nan without examples or with a
    nan confidence.

    >>> value, low, high = expected_calibration_error(np.full(100, 0.9), np.arange(100) < 60)
    >>> round(value, 2), round(low, 2), round(high, 2)
    (0.3, 0.2, 0.4)
    """
    n = len(confidence)
    if n == 0 or np.isnan(confidence).any():
        return Estimate(np.nan, *UNKNOWN)
    n_fine = ECE_BINS * _SUB_BINS
    fine = np.clip(np.ceil(confidence * n_fine).astype(np.int64) - 1, 0, n_fine - 1)
    cell = fine * 2 + right
    counts = np.bincount(cell, minlength=2 * n_fine)
    used = np.flatnonzero(counts)
    counts, mean_confidence = counts[used], np.bincount(cell, weights=confidence)[used] / counts[used]
    starts = np.flatnonzero(np.diff(used // (2 * _SUB_BINS), prepend=-1))

    def error(gap: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Summed gaps (..., cells) -> calibration error (...)."""
        return np.asarray(np.abs(np.add.reduceat(gap, starts, axis=-1)).sum(axis=-1) / n)

    value = float(error(counts * (mean_confidence - used % 2)))
    if n_boot == 0:
        return Estimate(value, *UNKNOWN)
    rng = np.random.default_rng(seed)
    draws = error(resample_counts(counts, n_boot, rng) * (mean_confidence - used % 2))
    calibrated_hits = rng.binomial(counts, np.clip(mean_confidence, 0, 1), size=(n_boot, len(counts)))
    by_chance = float(np.quantile(error(counts * mean_confidence - calibrated_hits), 0.975))
    spread = percentile_interval(draws)
    low = 0.0 if value <= by_chance else min(value, max(0.0, 2 * value - spread.high))
    return Estimate(value, low, max(value, 2 * value - spread.low))
