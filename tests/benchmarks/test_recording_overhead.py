"""Recording changes nothing about a training; the plain one is the same training."""

from pathlib import Path

from benchmarks.recording_overhead import Size, measure


def test_plain_and_recorded_reach_the_same_loss(tmp_path: Path, tiny: list[str]) -> None:
    report = measure(Size(n_examples=60, n_epochs=2, max_length=16, repetitions=1), tmp_path, tiny)
    ratio = report["everything recorded ÷ nothing recorded"]
    assert len(ratio.samples) == len(ratio.cpu_samples) == 1
    assert ratio.value > 0
    assert report["recorded"].baseline.name == "plain Trainer"
