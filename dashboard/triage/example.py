"""The example that is looked at: its text, large; its label and the suggested one; and the keys."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.formats import UNKNOWN, badge_text, count, escape, is_known, number, short
from dashboard.named_texts import named_texts
from dashboard.triage import reads
from dashboard.triage.asked import ask
from dashboard.triage.author import ask_author, author, author_line
from dashboard.triage.differences import views_words
from dashboard.triage.proposals import (
    Proposal,
    is_unsure,
    likely_labels,
    offer,
    said,
    unsure_words,
)
from dashboard.triage.reads import Desk
from dashboard.triage.sentence import sentence, show_sentence, target_of
from dashboard.triage.session import RERUN
from dashboard.triage.target_forms import FORMS, HELP, number_form, set_form, span_form
from dashboard.triage.target_words import becomes, decisions_in_words, suggested_words, targets_at
from dashboard.triage.targets import Target
from dashboard.triage.why import why
from dashboard.triage.worklist import Worklist, place_of
from evals.triage.phrases import suggested_text, to_do
from store import Action

if TYPE_CHECKING:
    from dashboard.triage.review import Actions

TEXT_PIXELS = 190
PICKED = 9
"""Labels that a digit picks."""
_FOCUS = """<script>
(() => {
  const click = (key) => document.querySelector(`.st-key-${key} button`)?.click();
  const press = (event) => {
    const field = event.target;
    if (!field.matches?.('.st-key-triage-form :is(input, textarea)')) { return; }
    if (event.key === 'Escape' && field.getAttribute('aria-expanded') !== 'true') {  // an open menu closes first
      event.stopImmediatePropagation();  // else the button is pressed twice
      click('key-close');
      field.blur();
    } else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && field.tagName === 'INPUT') {
      event.stopImmediatePropagation();  // a menu would take what it has marked
      field.blur();  // a number is there when its field is left
      click('key-save-target');
      field.focus();
    }
  };
  if (!window.assayForm) { window.addEventListener('keydown', press, true); window.assayForm = true; }
  const until = performance.now() + 2000;
  const look = () => {
    const field = document.querySelector('.st-key-triage-form :is(input, textarea)');
    if (field) { field.focus(); } else if (performance.now() < until) { requestAnimationFrame(look); }
  };
  look();
})();
</script>"""


def example_panel(desk: Desk, work: Worklist, kinds: Sequence[str], *, picking: str, act: "Actions") -> None:
    """Draw it, and why it is looked at beside it."""
    row = work.row
    if row is None:
        return
    split, position = place_of(row)
    known = reads.details(desk, row)
    found = dict(zip(known.findings["kind"], known.findings["evidence"], strict=True))
    target = target_of(desk, split, position) if desk.triage.summary.get("unjudged") else None
    kind, offered = offer(
        row, found, kinds, desk.label_names, target=target, target_names=desk.dataset.label_names or (),
        is_one_text=reads.is_one_text(desk),
    )  # fmt: skip
    evidence = found.get(kind or "", {})
    left, right = st.columns([1.25, 1], gap="medium")
    with left:
        _where(work, row, act)
        _text(desk, row, evidence, kind, offered)
        _labels(desk, row, offered, work.done.get((split, position)))
        if is_unsure(row, kind) and int(row["given"]) < len(desk.label_names):
            votes = [voice.predicted for voice in known.voices if voice.predicted >= 0]
            st.caption(escape(unsure_words(votes, int(row["given"]), desk.label_names)))
        if author() is None:
            ask_author()
        else:
            with st.container(gap="small", key="triage-actions"):
                _keys(desk, offered, kind, act, picking)
                _forms(desk, row, kind, picking, act)
    with right, st.container(key="triage-why"):
        why(desk, row, known)
        _after(split, position, kind)


def _where(work: Worklist, row: Mapping[str, Any], act: "Actions") -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="triage-where"):
        st.markdown(f"**{count(work.at + 1)}** / {count(work.n)}", width="content")
        risk = f"risk {number(row['risk'], 2)} · " if is_known(row.get("risk")) else ""
        st.caption(escape(f"{risk}{row['split']} {count(row['position'])}"), width="content")
        st.space("stretch")
        st.button(
            "", icon=":material/arrow_back:", type="tertiary", key="key-back", shortcut="Left", disabled=work.at == 0,
            on_click=act.step, args=(-1,), help="The one before",
        )  # fmt: skip
        st.button(
            "", icon=":material/arrow_forward:", type="tertiary", key="key-forward", shortcut="Right",
            on_click=act.step, args=(1,), help="The next, without deciding",
        )  # fmt: skip
        author_line()


def _text(desk: Desk, row: Mapping[str, Any], evidence: Mapping[str, Any], kind: str | None, offered: Proposal) -> None:
    with st.container(height=TEXT_PIXELS, border=True, gap="xsmall", key="triage-text"):
        if not show_sentence(desk, *place_of(row)):
            texts = named_texts(reads.inputs(desk, row["example_id"]), desk.dataset.source)
            for name, text in texts or [("", str(row["text"]))]:
                if name:
                    st.caption(escape(name))
                st.text(text if text.strip() else "(no text)")
        new = offered.text or (suggested_text(kind, evidence) if kind and reads.is_one_text(desk) else None)
        if new is not None:
            st.caption("The suggested text:")
            st.text(new)


def _labels(desk: Desk, row: Mapping[str, Any], offered: Proposal, done: str | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="triage-labels"):
        st.caption("labelled" if desk.label_names else "has", width="content")
        st.badge(badge_text(short(_given(desk, row), 60)), color="gray", width="content")
        if offered.action is Action.RELABEL:
            st.caption("should be", width="content")
            (words,) = suggested_words(desk, [offered], [row["example_id"]])
            st.badge(badge_text(short(words, 60)), color="orange", width="content")
        if done or row.get("action"):
            before = done or f"{said(str(row['action']), becomes(desk, row))} by {row['author']}"
            st.badge(badge_text(short(before, 60)), icon=":material/check:", color="green", width="content")
    if row.get("is_disputed") and not done:
        views = views_words(decisions_in_words(desk, reads.views(desk, *place_of(row))))
        st.caption(f":material/flag: {escape(f'Disputed. {views}')}")


def _given(desk: Desk, row: Mapping[str, Any]) -> str:
    if desk.label_names:
        return str(row.get("label") or UNKNOWN)
    return targets_at(desk, [place_of(row)])[0]


def _keys(desk: Desk, offered: Proposal, kind: str | None, act: "Actions", picking: str) -> None:
    is_typing = picking in FORMS.values()  # there is more to click than fields, which keep letters to themselves

    def decides(key: str, words: str, proposed: Proposal, help: str, *, is_first: bool = False) -> None:
        how = {"finding": kind, "label": proposed.label, "text": proposed.text}
        st.button(
            words, key=f"key-{key}", shortcut=None if is_typing else key, on_click=act.decide, args=(proposed.action,),
            kwargs=how, type="primary" if is_first else "secondary", help=help,
        )  # fmt: skip

    with st.container(horizontal=True, gap="small", key="triage-keys"):
        advice = to_do(kind) if kind else None
        decides("A", escape(offered.button), offered, escape(advice or "What is suggested."), is_first=True)
        decides("K", "Keep", Proposal(Action.KEEP, ""), "The example is right as it is.")
        can_label, unjudged = bool(desk.label_names), desk.triage.summary.get("unjudged")
        no_classes = f"Examples have {unjudged}: see Edit." if unjudged in FORMS else "There are no classes here."
        st.button(
            "Label…", key="key-L", shortcut="L" if can_label else None, on_click=act.pick, args=("label",),
            disabled=not can_label, help="Another label." if can_label else no_classes,
        )  # fmt: skip
        decides("D", "Drop", Proposal(Action.DROP, ""), "The next version will not have it.")
        decides("S", "Skip", Proposal(Action.SKIP, ""), "Later, or somebody else.")
        keys = {"Z": None, "N": None} if is_typing else {"Z": "Z", "N": "N"}
        st.button(
            "Undo", key="key-Z", shortcut=keys["Z"], on_click=act.undo, help="The last decision; again and again."
        )
        st.button(
            "Note…", key="key-N", shortcut=keys["N"], on_click=act.pick, args=("note",), help="Why; Enter saves it."
        )  # fmt: skip
        form = FORMS.get(unjudged, "text")
        can_edit = form != "text" or reads.is_one_text(desk)
        st.button(
            "Edit…", key="key-E", shortcut=None if is_typing or not can_edit else "E", on_click=act.pick, args=(form,),
            disabled=not can_edit, help=HELP[form] if can_edit else "An example of several texts is not edited.",
        )  # fmt: skip


def _forms(desk: Desk, row: Mapping[str, Any], kind: str | None, picking: str, act: "Actions") -> None:
    """The form that a key has opened; the field has the keyboard at once, so that what is typed decides nothing."""
    if not picking:
        return
    split, position = place_of(row)
    key = f"{picking}-{split}-{position}"
    with st.container(key="triage-form"):
        if picking == "label":
            _digits(desk, row, kind, act)
        elif picking == "any":
            _any_label(desk, kind, act, key)
        elif picking in FORMS.values():
            _target_form(desk, row, kind, picking, key, act)
        elif picking == "note":

            def keep_note() -> None:
                act.decide(Action.NOTE, note=st.session_state[key], finding=kind)

            st.text_input("Note", row.get("note") or "", key=key, placeholder="Enter saves it", on_change=keep_note)
        elif picking == "text":

            def keep_text() -> None:
                act.decide(Action.EDIT, text=st.session_state[key], finding=kind)

            st.text_area("Text", row.get("new_text") or row["text"], key=key, height=130)
            st.button("Save the text", key="key-save-text", shortcut="Mod+Enter", on_click=keep_text, type="primary")
        st.button(
            "Close", key="key-close", shortcut="Escape", type="tertiary", on_click=act.pick, args=(picking,),
            help="Decide nothing here.",
        )  # fmt: skip
    if picking not in ("label", "spans"):  # a table has the keyboard once a cell is chosen
        st.html(_FOCUS, unsafe_allow_javascript=True)


def _target_form(
    desk: Desk, row: Mapping[str, Any], kind: str | None, picking: str, key: str, act: "Actions"
) -> None:  # fmt: skip
    """Another target, and another text where the example is one; begun with what it would become as it is."""
    split, position = place_of(row)
    target = row["new_label"] if row.get("new_label") is not None else target_of(desk, split, position)
    names = desk.dataset.label_names or ()
    text = row.get("new_text") or row["text"] if reads.is_one_text(desk) else None

    def keep(label: Target, typed: str | None = None) -> None:
        is_edited = typed is not None and (typed != row["text"] or row.get("new_text") is not None)
        action = Action.EDIT if is_edited else Action.RELABEL
        act.decide(action, label=label, text=typed if is_edited else None, finding=kind)

    if picking == "number" and isinstance(target, float):
        number_form(target, text, key, keep)
    elif picking == "set" and isinstance(target, str):
        set_form(target, names, text, key, keep)
    elif isinstance(target, str) and (found := sentence(desk, split, position)) is not None:
        span_form(found, target, names, key, keep)


def _digits(desk: Desk, row: Mapping[str, Any], kind: str | None, act: "Actions") -> None:
    """The likely labels by a digit; any other by O and a menu."""
    names = desk.label_names
    votes = [voice.predicted for voice in reads.details(desk, row).voices]
    if row.get("suggested") is not None:
        votes.append(int(row["suggested"]))
    given = int(row["given"]) if row.get("given") is not None else None
    offered = likely_labels(votes, given, len(names), most=PICKED)
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="triage-picks"):
        for digit, label in enumerate(offered, 1):
            st.button(
                escape(short(names[label], 32)), key=f"pick-{digit}", shortcut=str(digit), on_click=act.decide,
                args=(Action.RELABEL,), kwargs={"label": label, "finding": kind},
            )  # fmt: skip
        if len(names) > len(offered) + 1:
            st.button(
                f"Other, of {count(len(names))}", key="pick-other", shortcut="O", on_click=act.pick, args=("any",),
                type="tertiary",
            )  # fmt: skip


def _any_label(desk: Desk, kind: str | None, act: "Actions", key: str) -> None:
    names = desk.label_names

    def choose() -> None:
        if st.session_state[key] is not None:
            act.decide(Action.RELABEL, label=st.session_state[key], finding=kind)

    st.selectbox(
        "Label", range(len(names)), index=None, format_func=lambda i: names[i], key=key, on_change=choose,
        placeholder="type a part of its name", width=330,
    )  # fmt: skip


def _after(split: str, position: int, kind: str | None) -> None:
    with st.container(horizontal=True, gap="small"):
        if split == "train":
            st.button(
                "Find similar", key="key-similar", icon=":material/hub:", type="tertiary", on_click=_similar,
                args=(split, position), help="Its nearest training examples as the queue",
            )  # fmt: skip


def _similar(split: str, position: int) -> None:
    ask(like=f"{split}:{position}", kind=None, given=None, likely=None, state="all", view="Queue")
    st.session_state[RERUN] = True
