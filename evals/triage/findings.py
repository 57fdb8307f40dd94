"""The table of detectors: every kind of finding, what it needs, and what to do about it.

A detector is a pure function from some of the `inputs.Inputs` to `Found`, and one row here: the function's parameters
have the names of the inputs that it needs or can use. `detection` runs them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from evals.intervals import Floats, Ints
from evals.triage import (
    coverage,
    damage,
    drift,
    duplicates,
    garbage,
    imbalance,
    instructions,
    language,
    leakage,
    multilabel,
    numbers,
    order,
    overlap,
    personal,
    shapley,
    slices,
    spans,
    tokens,
)
from evals.triage.found import Found, checked


class Action(StrEnum):
    """What a person can do about a finding."""

    RELABEL = "relabel"
    EDIT = "edit"
    DROP = "drop"
    LOOK = "look"
    COLLECT = "collect more"
    CONFIGURE = "change a setting"


@dataclass(frozen=True)
class Detector:
    """A kind of finding.

    needs: inputs without which nothing can be said; uses: inputs that are taken where they are there. flag_from: an
    example with this risk or a higher one is a finding. suggests: the name of the evidence that holds a suggested label
    or text. version: goes up when the same inputs may give another risk. is_of_groups: it knows groups of examples, no
    single ones, and groups are what is counted.
    """

    kind: str
    title: str
    needs: tuple[str, ...]
    detect: Callable[..., Found]
    action: Action
    to_do: str
    uses: tuple[str, ...] = ()
    flag_from: float = 0.5
    suggests: str | None = None
    version: int = 1
    is_of_groups: bool = False


def label_errors(
    label_risk: Floats,
    suggested: Ints | None = None,
    suggested_probability: Floats | None = None,
    n_doubting: Ints | None = None,
    n_voices: Ints | None = None,
) -> Found:
    """Labels that are likely wrong: the risk is handed through, what is known beside it is its evidence.

    evidence: label, the suggested one (class index), with its probability; n_doubting of n_voices.

    >>> label_errors(np.array([0.2, 0.9]), np.array([-1, 3])).evidence["label"].tolist()
    [-1, 3]
    """
    beside = {
        "label": suggested,
        "probability": suggested_probability,
        "n_doubting": n_doubting,
        "n_voices": n_voices,
    }
    evidence = {name: column for name, column in beside.items() if column is not None}
    for name, column in evidence.items():
        checked(name, column, len(label_risk))
    return Found(np.asarray(label_risk, dtype=np.float64), evidence)


DETECTORS: tuple[Detector, ...] = (
    Detector(
        "label_error", "wrong label", ("label_risk",), label_errors, Action.RELABEL,
        "Read the text and pick the label it should have; the suggestion is only that.",
        uses=("suggested", "suggested_probability", "n_doubting", "n_voices"), suggests="label",
    ),
    Detector(
        "contradiction", "same text, different labels", ("duplicates", "labels"), duplicates.contradictions,
        Action.RELABEL, "At least one of the labels is wrong, or the classes cannot be told apart by text.",
        flag_from=0.3, suggests="label",
    ),
    Detector(
        "split_leak", "duplicate across splits", ("duplicates", "splits"), duplicates.split_leaks, Action.DROP,
        "Drop the copy outside the test split: scores on a text that was trained on are too good.", flag_from=0.7,
    ),
    Detector(
        "exact_duplicate", "exact duplicate", ("duplicates",), duplicates.exact_duplicates, Action.DROP,
        "Drop it, unless how often a text comes is meant to count.", uses=("splits",),
    ),
    Detector(
        "near_duplicate", "near duplicate", ("duplicates",), duplicates.near_duplicates, Action.LOOK,
        "Drop it where it says nothing that the other does not.", uses=("splits",), flag_from=0.7,
    ),
    Detector(
        "empty", "empty text", ("texts",), garbage.empty_texts, Action.DROP,
        "Drop it, or find what should have been there.", version=2,
    ),
    Detector(
        "repetition", "repeated text", ("texts",), garbage.repeated_texts, Action.DROP,
        "Drop it, or keep one of the repetitions.", uses=("parts",), flag_from=0.4, version=2,
    ),
    Detector(
        "markup", "markup in the text", ("texts",), garbage.markup_texts, Action.EDIT,
        "Strip the markup where the model will not see it in use.", suggests="text",
    ),
    Detector(
        "encoding", "damaged encoding", ("texts",), damage.damaged_texts, Action.EDIT,
        "Take the repaired text; if there are many, read the source file again as UTF-8.", suggests="text",
    ),
    Detector(
        "language", "other language", ("texts",), language.other_languages, Action.LOOK,
        "Drop it, unless the model is to understand that language.", flag_from=0.7,
    ),
    Detector(
        "truncated", "cut off by max_length", ("n_tokens", "max_length"), garbage.truncated_texts, Action.CONFIGURE,
        "Raise model.max_length, or shorten the text: the model sees only its beginning.", flag_from=1e-9,
    ),
    Detector(
        "personal_data", "personal data", ("texts",), personal.personal_texts, Action.EDIT,
        "Take the masked text, or drop it: what a model has seen it may say.", suggests="masked",
    ),
    Detector(
        "label_leak", "label inside the input", ("texts", "labels", "label_names"), leakage.label_leaks, Action.EDIT,
        "Take the label out of the text: the model learns to copy it and fails where it is not given.",
        flag_from=leakage.LEAST_RISK, version=2,
    ),
    Detector(
        "giveaway_word", "a word that decides a class", ("texts", "labels", "label_names"), leakage.giveaway_words,
        Action.LOOK, "Ask whether the word will be there in use; if not, remove it or collect texts without it.",
        is_of_groups=True,
    ),
    Detector(
        "outlier", "outlier", ("neighbours", "is_train"), coverage.outliers, Action.LOOK,
        "Drop what does not belong; collect more where it does.", flag_from=0.99,
    ),
    Detector(
        "sparse_region", "region with few training examples", ("embeddings", "texts", "is_train", "neighbours"),
        coverage.sparse_regions, Action.COLLECT, "Label more examples like these.", is_of_groups=True,
    ),
    Detector(
        "boundary", "on the boundary", ("log_probs",), overlap.boundary_examples, Action.LOOK,
        "Make sure of its label: these examples decide where the model draws the line.", flag_from=0.9,
    ),
    Detector(
        "class_overlap", "classes that overlap", ("log_probs", "labels", "label_names"), overlap.class_overlap,
        Action.LOOK, "Merge the two, or write down what parts them and relabel by it.", is_of_groups=True,
    ),
    Detector(
        "rare_class", "rare class that pays for it", ("labels", "is_train", "predicted", "label_names"),
        imbalance.rare_classes, Action.COLLECT, "Label more examples of it, or weigh it more.", is_of_groups=True,
    ),
    Detector(
        "weak_slice", "slice with more errors", ("errors", "slicings"), slices.weak_slices, Action.LOOK,
        "See what these examples share that the model does not get: labels, length, words, source.", is_of_groups=True,
    ),
    Detector(
        "split_drift", "drift between splits", ("splits",), drift.split_drift, Action.COLLECT,
        "Ask which of the two is like the data in use, and make the other like it.",
        uses=("labels", "label_names", "texts", "embeddings"), is_of_groups=True,
    ),
    Detector(
        "order_effect", "order of the file", ("texts",), order.order_effects, Action.CONFIGURE,
        "Shuffle before you cut folds or splits by position; ask what the order comes from.",
        uses=("splits", "labels", "neighbours"), is_of_groups=True,
    ),
    Detector(
        "harmful_example", "hurts its neighbours", ("embeddings", "labels", "splits"), shapley.example_values,
        Action.LOOK, "Held-out examples near it have other labels: look at its own, or drop it.", flag_from=0.8,
    ),
    Detector(
        "empty_answer", "empty answer", ("answers",), instructions.empty_answers, Action.DROP,
        "Drop it, or write the answer.", version=2,
    ),
    Detector(
        "refusal", "refusal in an answer", ("answers",), instructions.refused_answers, Action.DROP,
        "Drop it, unless the model is to refuse this.", flag_from=0.9,
    ),
    Detector(
        "copied_answer", "answer copied from the prompt", ("prompts", "answers"), instructions.copied_answers,
        Action.LOOK, "Drop it where the answer should say something of its own.", flag_from=0.8,
    ),
    Detector(
        "unfinished_answer", "answer that breaks off", ("answers",), instructions.unfinished_answers, Action.EDIT,
        "Finish it, or drop it: the model learns to stop there.", flag_from=0.8,
    ),
    Detector(
        "several_instructions", "several instructions in one", ("prompts",), instructions.several_instructions,
        Action.EDIT, "Part it into one example for each, where the answer follows only one.", uses=("answers",),
        flag_from=0.75,
    ),
    Detector(
        "conflicting_answers", "same prompt, different answers", ("prompt_duplicates", "prompts", "answers"),
        instructions.conflicting_answers, Action.LOOK, "Keep the right one, where there is one.", flag_from=0.6,
    ),
    Detector(
        "mismatched_answer", "answer that its prompt makes less likely", ("answer_loss", "answer_loss_alone"),
        instructions.instruction_difficulty, Action.LOOK, "See whether the answer belongs to this prompt.",
    ),
    Detector(
        "hard_target", "target the model does not expect",
        ("target_log_probs", "best_other_log_probs", "token_offsets"), tokens.hard_targets, Action.LOOK,
        "Look at the tokens with the highest risk: wrong numbers, another language, words out of order.",
        flag_from=0.875, version=2,
    ),
    Detector(
        "token_label", "wrong label of a token", ("token_p_given", "token_offsets"), tokens.token_label_errors,
        Action.RELABEL, "Look at the worst token first.", flag_from=0.9,
    ),
    Detector(
        "span_error", "spans the model sees differently", ("given_spans", "predicted_spans"), spans.span_errors,
        Action.RELABEL, "Compare the spans: a wrong tag, a shifted, a missed and a ghost span mend differently.",
    ),
    Detector(
        "label_set", "a class too many or too few", ("label_sets", "label_set_probs", "label_names"),
        multilabel.multilabel_errors, Action.RELABEL, "Add or remove the classes that are named.",
    ),
    Detector(
        "number_error", "number far from the predicted one", ("numbers", "predicted_numbers"), numbers.number_errors,
        Action.RELABEL, "See which of the two numbers the text bears out.", flag_from=0.9973,
    ),
)  # fmt: skip


def get_detector(kind: str) -> Detector:
    """The detector of a kind; ValueError names those that there are.

    >>> get_detector("outlier").title
    'outlier'
    """
    for detector in DETECTORS:
        if detector.kind == kind:
            return detector
    raise ValueError(f"{kind!r} is no kind of finding; known are {', '.join(each.kind for each in DETECTORS)}.")
