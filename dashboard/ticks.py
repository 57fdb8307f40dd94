"""Ticks of a page that was left are dropped: Streamlit 1.67 empties the new page for them.

A live part of a page (`st.fragment(run_every=…)`) is drawn again by a timer in the browser. When the server switches to
another page, a tick of the old one may be waiting behind the switch. Streamlit begins a run for it that finds no such
part any more and draws nothing, but names the old page; the browser takes that for a change of page and takes the new
page away. A tick that arrives later is already turned down by Streamlit (`AppSession.request_rerun`); this does the
same for one that waits.
"""

import functools
import logging
from typing import Any


def drop_stale_ticks() -> None:
    """Drop waiting ticks whose part of the page is no longer there; once a process, further calls do nothing."""
    try:
        from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

        run_script: Any = ScriptRunner._run_script
    except (ImportError, AttributeError):  # another Streamlit, built in another way: it may not need it
        logging.getLogger(__name__).warning("this Streamlit is not the one that was tested; a page may come up empty")
        return
    if hasattr(run_script, "__wrapped__"):
        return

    @functools.wraps(run_script)
    def run(self: Any, rerun_data: Any) -> None:
        parts = rerun_data.fragment_id_queue
        if not parts or any(self._fragment_storage.contains(part) for part in parts):
            run_script(self, rerun_data)

    ScriptRunner._run_script = run  # type: ignore[method-assign]  # Streamlit offers no place to do this
