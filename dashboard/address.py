"""The parameters of the page's address: written by clicks, none of them lost where two come within one drawing.

A click sends the address that the browser knew. Until the browser has heard what the click before it wrote, that is the
address of before, and Streamlit takes it for what is asked. So what was written is kept until the page has been drawn,
and written again where it is missing.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

PATIENCE_SECONDS = 5.0
"""A drawing that takes longer is waited for no more: someone who goes back gets where they wanted to go."""
_UNHEARD, _PAGE = "address-unheard", "address-page"


@dataclass
class Unheard:
    """What clicks wrote into the address of a page since it was drawn. wanted: None takes a parameter out."""

    page: str
    before: dict[str, str]
    wanted: dict[str, str | None]
    at: float
    """When the last of them was, by a clock that only goes forward."""

    def is_missing(self, address: Mapping[str, str]) -> bool:
        """Whether an address is that of before: what was written may be missing there, and nothing else was done to it.

        >>> seen = Unheard("triage", {"kind": "empty"}, {"kind": "outlier"}, 0.0)
        >>> seen.is_missing({"kind": "empty"}), seen.is_missing({"kind": "outlier"}), seen.is_missing({"kind": "leak"})
        (True, True, False)
        """
        return all(address.get(name) in (self.before.get(name), value) for name, value in self.wanted.items())


def put(**parameters: str | None) -> None:
    """Write parameters, None takes one out; a callback of a click."""
    unheard = _catch_up()
    if unheard is None:
        unheard = Unheard(st.session_state.get(_PAGE, ""), st.query_params.to_dict(), {}, 0.0)
    unheard.wanted |= parameters
    unheard.at = time.monotonic()
    st.session_state[_UNHEARD] = unheard
    _write(parameters)


def only(**parameters: str) -> None:
    """Write parameters and take all others out; a callback of a click."""
    put(**{**dict.fromkeys(st.query_params), **parameters})


def begin(page: str) -> None:
    """A page begins to be drawn: write what an earlier click wrote and the browser had not heard of."""
    if st.session_state.get(_PAGE, page) != page:
        st.session_state.pop(_UNHEARD, None)
    st.session_state[_PAGE] = page
    _catch_up()


def end() -> None:
    """The page has been drawn, and the browser told of its address."""
    st.session_state.pop(_UNHEARD, None)


def _catch_up() -> Unheard | None:
    unheard: Unheard | None = st.session_state.get(_UNHEARD)
    if unheard is None:
        return None
    is_late = time.monotonic() - unheard.at > PATIENCE_SECONDS
    if is_late or not unheard.is_missing(st.query_params.to_dict()):
        del st.session_state[_UNHEARD]
        return None
    _write(unheard.wanted)
    return unheard


def _write(parameters: Mapping[str, str | None]) -> None:
    for name, value in parameters.items():
        if value is None:
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != value:
            st.query_params[name] = value
