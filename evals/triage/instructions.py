"""Instruction and text-to-text data: answers that teach the wrong thing, prompts that ask for several.

prompts and answers are (n,) strings, None = not known: its risk is nan.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats
from evals.triage.duplicates import Duplicates, normalise
from evals.triage.found import Found, checked
from evals.triage.garbage import empty_texts
from evals.triage.minhash import jaccard

_REFUSAL = re.compile(
    r"\b(?:as an? (?:\w+ )?(?:ai|language model|assistant)\b"
    r"|i(?:'m| am) (?:just |only )?an? (?:ai|language model)\b"
    r"|i(?:'m| am)(?: very| so)? sorry,? (?:but )?(?:i |as )|(?:sorry|apologies),? (?:but )?i (?:can|am|don)"
    r"|i(?: can(?:no|')t| can not|(?: am|'m) (?:not able|unable) to| won't| will not be able to| must decline to)"
    r" (?:assist|help|answer|provide|fulfil|comply|complete|generate|create|do that|access|browse|engage|write|discuss)"
    r"|i (?:do not|don't) have (?:access|the ability|personal|real-time|feelings|opinions)"
    r"|my (?:knowledge cut-?off|training data)\b)",
    re.IGNORECASE,
)
_AT_START = 80  # characters: what is refused further in is mostly a caveat
_PLACEHOLDER_FIELD = re.compile(
    r"^\s*(?:\d+\.\s*)?(?:output|answer|response|result)\s*:?\s*(.*)$", re.IGNORECASE | re.DOTALL
)

_NEXT_PAIR = re.compile(r"(?:^|\n)[#\s]*\d+\.\s*(?:instruction|input|output|response)s?\s*:", re.IGNORECASE)
_MERGED = re.compile(  # in a prompt some of these are its own template
    r"(?:^|\n)\s*(?:#{2,}\s*(?:\n\s*)?(?:\d+\.\s*)?|\d+\.\s+)(?:instruction|input|output|response)s?\s*:"
    r"|<no(?:in|out)put>|(?:^|\n)\s*(?:user|human|assistant)\s*:|<\|(?:user|assistant|im_start)\|>",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[.!?;])\s+|\n+")
_FIRST_WORD = re.compile(
    r"\W*(?:(?:\d{1,2}|[a-h])[.)]\s+)?(?:(?:and|then|also|next|finally|please|additionally|afterwards),?\s+)*(\w+)",
    re.IGNORECASE,
)
_COMMANDS = (
    "write explain describe list give name find calculate compute translate summarize summarise classify identify"
    " create generate compare provide suggest tell convert rewrite edit analyze analyse define discuss evaluate design"
    " develop determine make choose state show prove solve draw outline construct implement answer"
)
_VERBS = frozenset(_COMMANDS.split())

COPIED_WORDS = 5
"""Words in a row that count as copied; fewer are shared by chance and by grammar."""
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ENDS = re.compile(r"[.!?。！？…:;)\]}\"'”’»>`*|]\s*$|\d\s*$|https?://\S+\s*$")
_BREAKS_OFF = re.compile(
    r"(?:[,+=/(\[{&*-]|\b(?:and|or|the|a|an|of|to|in|with|for|is|are|that|which|by|from|as|because))\s*$", re.IGNORECASE
)


def empty_answers(answers: Sequence[str | None]) -> Found:
    """Answers that say nothing: `garbage.empty_texts`, and a field without a value ("Output:"). evidence: reason.

    >>> empty_answers(["", "N/A", "Output:", "42"]).risk.tolist()
    [1.0, 0.9, 1.0, 0.0]
    """
    fields = [None if answer is None else _PLACEHOLDER_FIELD.match(answer) for answer in answers]
    return empty_texts([match[1] if match else answer for match, answer in zip(fields, answers, strict=True)])


def refused_answers(answers: Sequence[str | None]) -> Found:
    """Answers that refuse, or speak as a language model: 0.9 at the beginning, 0.5 further in, else 0.

    What refuses on purpose, in data on safety, is right to do so. English only. evidence: phrase.

    >>> refused_answers(["I'm sorry, but I can't help with that.", "I am sorry for your loss."]).risk.tolist()
    [0.9, 0.0]
    """
    risk, phrases = _columns(len(answers))
    for row, answer in enumerate(answers):
        if answer is not None:
            match = _REFUSAL.search(answer.replace("’", "'"))
            risk[row] = 0.0 if match is None else 0.9 if match.start() < _AT_START else 0.5
            phrases[row] = match[0] if match else ""
    return Found(risk, {"phrase": phrases})


def copied_answers(prompts: Sequence[str | None], answers: Sequence[str | None]) -> Found:
    """How much of an answer stands in its prompt: the share of its words in runs of COPIED_WORDS and more that do.

    Extracts and corrections of a text copy by nature. An answer of fewer words is copied where it is the whole prompt.
    evidence: n_words, copied words.

    >>> prompts = ["Name a city on the river Seine in France"] * 2
    >>> copied_answers(prompts, ["a city on the river Seine", "Paris"]).risk.tolist()
    [1.0, 0.0]
    """
    risk, n_copied = np.full(len(answers), np.nan), np.full(len(answers), -1)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        if prompt is None or answer is None:
            continue
        asked, words = _WORD.findall(prompt.lower()), _WORD.findall(answer.lower())
        if len(words) < COPIED_WORDS:
            risk[row] = float(bool(words) and words == asked)
            continue
        runs = {tuple(asked[at : at + COPIED_WORDS]) for at in range(len(asked) - COPIED_WORDS + 1)}
        is_copied = np.zeros(len(words), dtype=bool)
        for at in range(len(words) - COPIED_WORDS + 1):
            if tuple(words[at : at + COPIED_WORDS]) in runs:
                is_copied[at : at + COPIED_WORDS] = True
        risk[row], n_copied[row] = float(is_copied.mean()), int(is_copied.sum()) or -1
    return Found(risk, {"n_words": n_copied})


def unfinished_answers(answers: Sequence[str | None]) -> Found:
    """Answers that break off: 0.9 at an operator, a comma or a word that must go on; without an ending the share of
    answers that have one, where most do, else 0.

    An ending is punctuation, a bracket, a digit or an address. evidence: end, the last characters.

    >>> found = unfinished_answers(["It is 5.", "Yes.", "The result is 50 /", "Then it", ""])
    >>> found.risk.tolist(), found.evidence["end"].tolist()
    ([0.0, 0.0, 0.9, 0.5, nan], ['', '', 'The result is 50 /', 'Then it', ''])
    """
    is_known = np.array([bool(answer and answer.strip()) for answer in answers], dtype=bool)
    has_end = np.array([bool(answer and _ENDS.search(answer)) for answer in answers], dtype=bool)
    breaks_off = ~has_end & np.array([bool(answer and _BREAKS_OFF.search(answer)) for answer in answers], dtype=bool)
    share = float(has_end[is_known].mean()) if is_known.any() else 0.0
    without_end = share if share >= 0.5 else 0.0
    risk = np.where(breaks_off, 0.9, np.where(has_end, 0.0, without_end))
    ends = [(answer or "").rstrip()[-30:] if each > 0 else "" for answer, each in zip(answers, risk, strict=True)]
    return Found(np.where(is_known, risk, np.nan), {"end": np.array(ends, dtype=object)})


def several_instructions(prompts: Sequence[str | None], answers: Sequence[str | None] | None = None) -> Found:
    """Prompts that ask for several things, and pairs into which the next pair has run.

    risk: 0.95 where the next pair begins inside the prompt or the answer ("18. Instruction:"), or the answer holds a
    template or a speaker's name ("### Response:", "User:"); else 1 - 1 / m for m questions and commands, by their
    punctuation and first words (English): 0 for one, 0.5 for two. evidence: n_asked; template, the words of it.

    >>> found = several_instructions(["Write a poem.", "Name a river. Then explain why? And list ten.", "Hi"])
    >>> found.risk.round(2).tolist()
    [0.0, 0.67, 0.0]
    """
    risk, templates = _columns(len(prompts))
    n_asked = np.full(len(prompts), -1)
    for row, prompt in enumerate(prompts):
        if prompt is None:
            continue
        match = _NEXT_PAIR.search(prompt)
        if match is None and answers is not None and (answer := answers[row]):
            match = _MERGED.search(answer)
        asked = _count_asked(prompt)
        n_asked[row] = asked
        risk[row] = 0.95 if match else 1 - 1 / max(1, asked)
        templates[row] = " ".join(match[0].split()) if match else ""
    return Found(risk, {"n_asked": n_asked, "template": templates})


def conflicting_answers(
    prompt_duplicates: Duplicates, prompts: Sequence[str | None], answers: Sequence[str | None]
) -> Found:
    """The same or nearly the same prompt with different answers: s (1 - t) for the partner where it is highest.

    s is the similarity of the prompts, t that of the answers (Jaccard, of runs of characters). Prompts that differ in a
    number ask for different answers and are passed over. Where many answers are right there is no conflict. evidence:
    partner, its row; similarity of the prompts; answers_similarity.

    >>> from evals.triage.duplicates import find_duplicates
    >>> prompts = ["What is the capital of Australia?", "what is the capital of Australia?", "And now?"]
    >>> conflicting_answers(find_duplicates(prompts), prompts, ["Canberra", "It is Sydney.", "Well"]).risk.tolist()
    [1.0, 1.0, 0.0]
    """
    copy_of, near = prompt_duplicates.copy_of, prompt_duplicates.near
    plain = [normalise(answer) if answer else "" for answer in answers]
    has_answer = np.array([bool(answer) for answer in plain], dtype=bool)
    known = np.flatnonzero((copy_of >= 0) & has_answer)
    # One row stands for all with the same prompt and answer; those of one prompt are compared in a chain.
    pairs = list(zip(copy_of[known].tolist(), (plain[row] for row in known.tolist()), strict=True))
    firsts = dict(zip(reversed(pairs), reversed(known.tolist()), strict=True))
    stands_for = np.arange(len(copy_of))
    stands_for[known] = [firsts[pair] for pair in pairs]
    used = np.unique(stands_for[known])
    used = used[np.argsort(copy_of[used], kind="stable")]
    same = copy_of[used][1:] == copy_of[used][:-1]
    first = np.full(len(prompt_duplicates.first), -1)
    first[copy_of[used[::-1]]] = used[::-1]
    left, right = first[near.left], first[near.right]
    both = zip(left.tolist(), right.tolist(), strict=True)
    asks_the_same = [min(a, b) >= 0 and same_numbers(prompts[a] or "", prompts[b] or "") for a, b in both]
    keep = np.array(asks_the_same, dtype=bool)
    left, right = np.concatenate([used[:-1][same], left[keep]]), np.concatenate([used[1:][same], right[keep]])
    similarity = np.concatenate([np.ones(int(same.sum())), near.similarity[keep]])
    of_answers = jaccard(plain, left, right)
    conflict = similarity * (1 - of_answers)
    best = np.full(len(copy_of), -1)
    for at in np.argsort(conflict, kind="stable").tolist():  # the last one written is the highest
        best[[left[at], right[at]]] = at
    best = best[stands_for]
    is_found = best >= 0
    risk = np.where((copy_of >= 0) & has_answer, 0.0, np.nan)
    risk[is_found] = conflict[best[is_found]]
    partner, evidence = np.full(len(copy_of), -1), np.full((2, len(copy_of)), np.nan)
    partner[is_found] = np.where(left[best] == stands_for, right[best], left[best])[is_found] if len(left) else -1
    evidence[:, is_found] = np.array([similarity, of_answers])[:, best[is_found]]
    return Found(risk, {"partner": partner, "similarity": evidence[0], "answers_similarity": evidence[1]})


def same_numbers(a: str, b: str) -> bool:
    """Whether two texts hold the same numbers in the same order.

    >>> same_numbers("2 + 3 = ?", "2+3"), same_numbers("2 + 3", "2 + 4")
    (True, False)
    """
    return _NUMBER.findall(a) == _NUMBER.findall(b)


def instruction_difficulty(answer_loss: Floats, answer_loss_alone: Floats) -> Found:
    """Instruction-following difficulty r = s(A | Q) / s(A), as r / (1 + r), in [0, 1]: above 0.5 the prompt makes the
    answer *less* likely, so the two do not belong together.

    answer_loss (n,): mean negative log-probability of the answer's tokens after the prompt; answer_loss_alone (n,):
    without it. nan where either is, or both are 0. Source: Li et al., From Quantity to Quality (2024),
    arXiv:2308.12032. evidence: ratio.

    >>> found = instruction_difficulty(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    >>> found.risk.round(2).tolist(), found.evidence["ratio"].tolist()
    ([0.33, 0.6], [0.5, 1.5])
    """
    checked("answer_loss_alone", answer_loss_alone, len(answer_loss))
    with_prompt, alone = np.asarray(answer_loss, np.float64), np.asarray(answer_loss_alone, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Found(with_prompt / (with_prompt + alone), {"ratio": with_prompt / alone})


def _count_asked(prompt: str) -> int:
    """Sentences that ask or command."""
    n = 0
    for sentence in _SENTENCES.split(prompt):
        word = _FIRST_WORD.match(sentence)
        n += sentence.rstrip("\"')] ").endswith("?") or bool(word and word[1].lower() in _VERBS)
    return n


def _columns(n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.object_]]:
    return np.full(n, np.nan), np.full(n, "", dtype=object)
