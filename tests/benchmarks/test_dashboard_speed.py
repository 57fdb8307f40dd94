"""Every view opens and answers in a real browser."""

from pathlib import Path

import pytest

from benchmarks import dashboard_speed
from benchmarks.dashboard_speed import CHROMIUM, MOST_MARKS, measure, views
from benchmarks.make_store import SMALL, make_store


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("dashboard") / "big.db", SMALL)


def test_views_name_every_page_once(path: Path) -> None:
    found = views(path)
    assert len({view.name for view in found}) == len(found) == 13
    assert {view.url.split("?")[0] for view in found} == {"/", "/run", "/compare"}


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not Path(CHROMIUM).is_file(), reason=f"needs Chromium at {CHROMIUM}")
def test_times_every_view(path: Path) -> None:
    report = measure(path, 1, is_small=True)
    actions = [f"{view.name}, {name}" for view in views(path) for name, _ in view.actions]
    assert all(report[f"p95 of {name}"].value > 0 for name in actions)
    assert all(report[f"p95 of opening {view.name}"].value > 0 for view in views(path))
    assert 0 < report["most rows of any one chart or table"].value <= MOST_MARKS


def test_rows_of_arrow_messages_are_counted() -> None:
    import pandas as pd
    import pyarrow as pa

    table = pa.Table.from_pandas(pd.DataFrame({"x": range(123)}))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    received: list[object] = []

    class Socket:
        def on(self, _: str, call: object) -> None:
            received.append(call)

    class FakePage:
        def on(self, _: str, call: object) -> None:
            call(Socket())

    sent = dashboard_speed._count_sent(FakePage())
    received[0](b"head" + sink.getvalue().to_pybytes() + b"tail")
    received[0]("text is passed over")
    assert sent() == 123
