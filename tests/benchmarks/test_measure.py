"""Figures, verdicts and tables."""

import pytest

from benchmarks.measure import (
    Figure,
    Report,
    Stopwatch,
    Timing,
    against,
    finish,
    interleaved,
    number,
    percentile,
    rate,
    seconds,
)


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure("a", [1.0, 2.0, 3.0], "s", at_most=2.0), "PASS"),
        (Figure("a", [1.0, 2.1, 3.0], "s", at_most=2.0), "MISS"),
        (Figure("a", [1.0, 2.1, 3.0], "s", at_most=2.0, cpu_samples=[1.9]), "STARVED"),
        (Figure("a", [9.0], "1/s", at_least=10.0), "MISS"),
        (Figure("a", [10.0], "1/s", at_least=10.0), "PASS"),
        (Figure("a", [10.0], "1/s"), ""),
        (Figure("a", [], "1/s", at_least=10.0, note="no data"), "not measured"),
    ],
)
def test_verdict(figure: Figure, verdict: str) -> None:
    assert figure.verdict == verdict


def test_ratio_is_of_processor_time_where_both_have_it() -> None:
    baseline = against(seconds("plain", [Timing(4.0, 1.0)]))
    assert seconds("ours", [Timing(8.0, 1.5)], baseline=baseline).ratio == 1.5
    assert Figure("ours", [8.0], "s", baseline=baseline).ratio == 2.0
    assert Figure("ours", [8.0], "s").ratio is None
    assert against(Figure("plain", [], "s")) is None


def test_rate_divides_by_time() -> None:
    figure = rate("rows", 100, "1/s", [Timing(2.0, 1.0), Timing(4.0, 1.0), Timing(5.0, 1.0)])
    assert (figure.value, figure.cpu_value) == (25.0, 100.0)


def test_interleaved_alternates() -> None:
    order: list[str] = []
    found = interleaved({"a": lambda: order.append("a") or 1, "b": lambda: order.append("b") or 2}, 3)
    assert "".join(order) == "abbaab"
    assert found == {"a": [1, 1, 1], "b": [2, 2, 2]}


def test_table_has_every_figure_and_note() -> None:
    report = Report(
        "Title", "10 rows", [Figure("speed", [1234567.0], "1/s", at_least=5.0), Figure("x", [], "", note="why")]
    )
    table = report.markdown()
    assert "### Title" in table
    assert "| speed  | 1,230,000 1/s |" in table
    assert "≥ 5" in table
    assert "not measured" in table
    assert "- x: why" in table


def test_small_reports_judge_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    missed = [Figure("speed", [1.0], "1/s", at_least=5.0)]
    for is_small, code in ((True, 0), (False, 1)):
        with pytest.raises(SystemExit) as left:
            finish(Report("Title", "10 rows", missed, is_small=is_small))
        assert left.value.code == code
        assert ("MISS" in capsys.readouterr().out) is not is_small


def test_numbers_and_percentiles() -> None:
    assert [number(x) for x in (0.0, 12.345, 123.4, 99_999.0)] == ["0", "12.3", "123", "100,000"]
    assert percentile(list(range(1, 21)), 0.95) == 19
    assert percentile([7.0], 0.95) == 7.0


def test_stopwatch_measures_both_clocks() -> None:
    with Stopwatch() as watch:
        total = sum(range(200_000))
    assert total == 19_999_900_000
    assert 0 < watch.timing.cpu <= watch.timing.wall * 64
