"""Metric curves for a chart: thinned without losing a spike, smoothed without bending the start."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import signal

from evals.intervals import Floats, Ints


class Curve(NamedTuple):
    """Points of a curve in order, each (m,)."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]


def downsample(x: Ints | Floats, y: Ints | Floats, max_points: int) -> Curve:
    """Thin a curve to at most `max_points` of its own points: x (n,) in order, y (n,) -> Curve.

    The first and last point stay, and of every bucket of neighbours the lowest and the highest, so that
    spikes and the overall minimum and maximum survive. nan in y is never an extreme, but a bucket of nothing
    else keeps one, so that a gap stays a gap. ValueError for max_points < 4 or unequal lengths.

    >>> downsample(np.arange(9), np.array([0, 1, 9, 1, 1, 1, -5, 1, 0]), 6)
    Curve(x=array([0., 1., 2., 5., 6., 8.]), y=array([ 0.,  1.,  9.,  1., -5.,  0.]))
    """
    if max_points < 4 or x.shape != y.shape or x.ndim != 1:
        raise ValueError(
            f"max_points = {max_points}, x {x.shape}, y {y.shape}; needed: max_points >= 4, x and y (n,) each"
        )
    xs, ys = x.astype(np.float64), y.astype(np.float64)
    if len(ys) <= max_points:
        return Curve(xs, ys)
    n_buckets = (max_points - 2) // 2
    size = -(-(len(ys) - 2) // n_buckets)
    n_full = -(-(len(ys) - 2) // size)
    inner = np.full(n_full * size, np.nan)
    inner[: len(ys) - 2] = ys[1:-1]
    buckets = inner.reshape(n_full, size)
    first = 1 + np.arange(n_full) * size
    # Infinity where nan was: never the extreme, and the first point of a bucket that is nan throughout.
    lowest = first + np.where(np.isnan(buckets), np.inf, buckets).argmin(axis=1)
    highest = first + np.where(np.isnan(buckets), -np.inf, buckets).argmax(axis=1)
    keep = np.unique(np.concatenate([[0, len(ys) - 1], lowest, highest]))
    return Curve(xs[keep], ys[keep])


def smooth(y: Ints | Floats, factor: float) -> npt.NDArray[np.float64]:
    """Exponential moving average as TensorBoard draws it: y (n,) -> (n,); factor in [0, 1), 0 = as measured.

    s_t = factor s_(t-1) + (1 - factor) y_t from s_0 = 0, divided by 1 - factor^t so that the start is not
    pulled to zero (the debiasing of Kingma & Ba, Adam, 2015). A value that is not finite stays as it is and
    is skipped.

    >>> smooth(np.array([1.0, np.nan, 0.0, 0.0]), 0.5).round(3).tolist()
    [1.0, nan, 0.333, 0.143]
    """
    if not 0 <= factor < 1:
        raise ValueError(f"factor = {factor}; allowed: 0 (no smoothing) up to, not including, 1")
    smoothed = np.array(y, dtype=np.float64)
    known = np.isfinite(smoothed)
    average = signal.lfilter([1 - factor], [1, -factor], smoothed[known]) if known.any() else smoothed[known]
    smoothed[known] = average / (1 - factor ** np.arange(1, known.sum() + 1))
    return smoothed
