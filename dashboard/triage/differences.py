"""What was decided, as text that a person reads: the change of a label, and what changed in a text."""

from difflib import SequenceMatcher

import pandas as pd

from dashboard.formats import count, short

DECIDING = ("relabel", "keep", "drop", "edit")


def becomes(action: str, label: str | None) -> str:
    """What becomes of an example, in one line, beside the label that was given.

    >>> becomes("relabel", "yes"), becomes("edit", "no"), becomes("drop", "no")
    ('→ yes', '✎ text edited', '✕ dropped')
    """
    words = {"relabel": f"→ {label}", "keep": "✓ kept", "drop": "✕ dropped", "edit": "✎ text edited"}
    return words.get(action, action)


def views_words(views: pd.DataFrame) -> str:
    """What each author wants of one row, from `store.list_views` in words; not of who skipped it or wrote a note.

    >>> views = pd.DataFrame({"author": ["ada", "bo"], "action": ["drop", "relabel"], "given": "no", "label": "yes"})
    >>> views_words(views)
    'ada: ✕ dropped · bo: → yes'
    """
    wanted = views[views["action"].isin(DECIDING)]
    columns = zip(wanted["author"], wanted["action"], wanted["label"], strict=True)
    return " · ".join(f"{author}: {becomes(action, label)}" for author, action, label in columns)


def text_diff(old: str, new: str, *, around: int = 40) -> tuple[str, str]:
    """What changed in a text, before and after, each on a line; what is the same far from it is left out.

    >>> text_diff("please call me at 555 1234 today", "please call me at [phone] today")
    ('please call me at 555 1234 today', 'please call me at [phone] today')
    >>> text_diff("a" * 50 + " one", "a" * 50 + " two", around=3)
    ('…aa one', '…aa two')
    """
    same = SequenceMatcher(None, old, new, autojunk=False)
    blocks = [block for block in same.get_opcodes() if block[0] != "equal"]
    if not blocks:
        return short(old, 2 * around), short(new, 2 * around)
    first, last = blocks[0], blocks[-1]
    found = []
    for text, begin, end in ((old, first[1], last[2]), (new, first[3], last[4])):
        begin, end = max(0, begin - around), min(len(text), end + around)
        cut = " ".join(text[begin:end].split())
        found.append(f"{'…' if begin else ''}{cut}{'…' if end < len(text) else ''}")
    return found[0], found[1]


def tally(decisions: pd.DataFrame) -> str:
    """How many were decided in which way, from `store.current_decisions`.

    >>> tally(pd.DataFrame({"action": ["relabel", "keep", "relabel"], "is_disputed": [False, True, False]}))
    '3 decided: 2 relabelled, 1 kept. 1 is disputed'
    """
    acts = decisions["action"].value_counts()
    names = {"relabel": "relabelled", "edit": "edited", "drop": "dropped", "keep": "kept"}
    parts = [f"{count(acts[action])} {word}" for action, word in names.items() if acts.get(action)]
    n = int(sum(acts.get(action, 0) for action in names))
    words = f"{count(n)} decided: {', '.join(parts)}" if parts else "Nothing is decided yet"
    disputed = int(decisions["is_disputed"].astype(bool).sum()) if len(decisions) else 0
    if disputed:
        words += f". {count(disputed)} {'is' if disputed == 1 else 'are'} disputed"
    return words
