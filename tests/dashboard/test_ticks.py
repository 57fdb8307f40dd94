"""A tick of a page that was left begins no run: in the browser it would empty the new page."""

import pytest
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

from dashboard.ticks import drop_stale_ticks


class Runner(ScriptRunner):
    """Of a ScriptRunner only what is looked at."""

    def __init__(self) -> None:
        self._fragment_storage = MemoryFragmentStorage()


def test_only_runs_of_what_is_there_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr(ScriptRunner, "_run_script", lambda self, data: begun.append(data.fragment_id_queue))
    drop_stale_ticks()
    drop_stale_ticks()
    runner = Runner()
    runner._fragment_storage.register("here", lambda: None)
    for parts in ([], ["here"], ["left"], ["left", "here"]):
        runner._run_script(RerunData(fragment_id_queue=parts, is_auto_rerun=True))
    assert begun == [[], ["here"], ["left", "here"]]
