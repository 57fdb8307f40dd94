"""Stores for the pages, and an AppTest of the whole dashboard."""

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from store import Run, Store, get_run, list_runs, open_readonly, open_store
from tests.dashboard.stores import make_store

APP = Path(__file__).parents[2] / "dashboard" / "app.py"
SECONDS = 300  # nothing here is about speed, and the machine may be busy


@pytest.fixture(autouse=True)
def _no_cache_between_tests() -> Iterator[None]:
    """Streamlit's caches live as long as the process."""
    st.cache_data.clear()
    yield
    st.cache_data.clear()


@pytest.fixture(scope="session")
def built_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The believable store; never written to."""
    return make_store(tmp_path_factory.mktemp("built") / "demo.db")


def copied(built: Path, path: Path) -> Path:
    """A copy of a store, in which the live run has just given a sign of life."""
    source = open_readonly(built)
    source.db.execute(f"VACUUM INTO '{path}'")
    source.close()
    store = open_store(path)
    with store.write() as db:
        db.execute("UPDATE leases SET heartbeat_at = unixepoch('now')")
    store.close()
    return path


@pytest.fixture
def store_path(built_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which the dashboard shows."""
    path = copied(built_store, tmp_path / "demo.db")
    monkeypatch.setenv("ASSAY_STORE", str(path))
    return path


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store without runs, which the dashboard shows."""
    path = tmp_path / "empty.db"
    open_store(path).close()
    monkeypatch.setenv("ASSAY_STORE", str(path))
    return path


@pytest.fixture
def store(store_path: Path) -> Iterator[Store]:
    """The shown store, opened for writing."""
    opened = open_store(store_path)
    yield opened
    opened.close()


@pytest.fixture
def runs(store: Store) -> dict[str, Run]:
    """Its runs by name; of the two lora runs, `lora` is the first and `lora2` the second."""
    found = {row.name: get_run(store, row.id) for row in list_runs(store).itertuples()}
    loras = [get_run(store, row.id) for row in list_runs(store, search="tweet-lora", descending=False).itertuples()]
    return found | {"lora": loras[0], "lora2": loras[1], "head": found["tweet-head"]}


Show = Callable[..., AppTest]


@pytest.fixture
def show() -> Show:
    """`show("run", run=ID, tab="Classes")`: open a page by its URL; fails on any exception or uncaught problem."""

    def run(view: str = "runs", /, **params: str) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=SECONDS)
        if view != "runs":
            app.switch_page(f"views/{view}.py")
        for name, value in params.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, app.exception
        assert not any("could not be drawn" in error.value for error in app.error), app.error
        return app

    return run


def words(app: AppTest) -> str:
    """Everything a page says in words."""
    kinds = ("markdown", "caption", "subheader", "code", "info", "warning", "error", "text")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(app, kind))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A browser test that fails shows what its page said, and where it was."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.when == "call" and report.failed and page is not None:
        with suppress(Exception):  # the browser itself may be what failed
            report.sections.append(("The page", f"{page.url}\n\n{page.inner_text('body')}"))
    return report
