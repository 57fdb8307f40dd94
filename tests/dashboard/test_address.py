"""The address of a page when clicks come faster than it is drawn."""

from streamlit.testing.v1 import AppTest

from dashboard import address


def page() -> None:
    """Two buttons that write a parameter each; `ends` in the session: the page was drawn to its end."""
    import streamlit as st

    from dashboard import address

    address.begin("triage")
    st.button("kind", on_click=address.put, kwargs={"kind": "outlier"})
    st.button("view", on_click=address.put, kwargs={"view": "Map", "page": None})
    st.button("only", on_click=address.only, kwargs={"data": "bank@1"})
    if st.session_state.get("ends"):
        address.end()


def asked(app: AppTest) -> dict[str, str]:
    """The address, of which each parameter is a text, or a list where a test wrote it."""
    values = {name: app.query_params[name] for name in app.query_params}
    return {name: value if isinstance(value, str) else value[-1] for name, value in values.items()}


def click(app: AppTest, name: str) -> dict[str, str]:
    next(button for button in app.button if button.label == name).click().run()
    assert not app.exception
    return asked(app)


def test_a_click_that_knew_the_address_of_before_keeps_what_the_first_one_wrote() -> None:
    app = AppTest.from_function(page)
    app.query_params["page"] = "3"
    app.run()
    assert click(app, "kind") == {"page": "3", "kind": "outlier"}
    del app.query_params["kind"]  # as a browser sends it that has not heard of the first click
    assert click(app, "view") == {"kind": "outlier", "view": "Map"}
    app.query_params.clear()
    app.query_params["page"] = "3"
    app.run()  # any other rerun that comes too early
    assert asked(app) == {"kind": "outlier", "view": "Map"}
    assert click(app, "only") == {"data": "bank@1"}


def test_going_back_is_no_early_click() -> None:
    app = AppTest.from_function(page)
    app.session_state["ends"] = True
    app.run()
    assert click(app, "kind") == {"kind": "outlier"}
    del app.query_params["kind"]
    app.run()
    assert "kind" not in app.query_params
    assert click(app, "view") == {"view": "Map"}


def test_what_somebody_else_wrote_is_not_taken_back() -> None:
    unheard = address.Unheard("triage", {"kind": "empty"}, {"kind": "outlier", "page": None}, 0.0)
    assert unheard.is_missing({"kind": "empty", "page": None or "", "words": "card"}) is False
    assert unheard.is_missing({"kind": "empty", "words": "card"})
    assert not unheard.is_missing({"kind": "leak"})
