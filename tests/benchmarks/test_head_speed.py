"""The cache is used, and changes nothing."""

from pathlib import Path

from benchmarks.head_speed import Size, measure


def test_measures_cached_and_recomputed_epochs(tmp_path: Path, tiny: list[str]) -> None:
    size = Size(n_examples=None, n_epochs=2, repetitions=2)
    report = measure(size, tmp_path, tiny)
    speedup = report["epoch that recomputes the backbone ÷ epoch on cached features"]
    assert len(speedup.samples) == 2
    assert min(speedup.samples) > 1
    assert len(report["epoch of the head on cached features"].samples) == 3
