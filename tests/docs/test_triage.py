"""docs/triage.md explains what there is: every kind of finding, every score."""

import re
from pathlib import Path

import numpy as np

from evals.triage.audit import label_audit
from evals.triage.dynamics import from_logits, risks, summarise
from evals.triage.findings import DETECTORS

PAGE = Path(__file__).parents[2] / "docs/triage.md"


def table(heading: str) -> dict[str, list[str]]:
    """The cells of the rows below a heading that begin with code, by that code."""
    below = PAGE.read_text().split(heading + "\n")[1]
    part = re.split(r"^##+ ", below, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| (`.+?`(?:, `.+?`)*) \|(.*)\|$", part, re.MULTILINE)
    return {
        code.strip("`").replace("`, `", ", "): [cell.strip() for cell in re.split(r" (?<!\\)\| ", cells)]
        for code, cells in rows
    }


def test_every_kind_of_finding_is_explained() -> None:
    said = table("## Findings")
    assert list(said) == [detector.kind for detector in DETECTORS]
    for detector in DETECTORS:
        meaning, needs, evidence, limits = said[detector.kind]
        assert needs == ", ".join(detector.needs), detector.kind
        assert all((meaning, evidence, limits)), detector.kind
    made = table("### How the risk of a finding is made")
    assert list(made) == list(said)
    for detector in DETECTORS:
        least = {1e-9: "above 0"}.get(detector.flag_from, f"{detector.flag_from:g}")
        start, formula = made[detector.kind]
        assert (start, bool(formula)) == ("groups" if detector.is_of_groups else least, True), detector.kind


def test_every_score_is_explained() -> None:
    said = table("## Scores")
    one_run = set(risks(summarise([from_logits(np.array([[1.0, 0.0]]), np.array([0]))])))
    assert one_run <= set(said)
    embeddings, texts = np.eye(6).repeat(20, axis=0), ["a good film", "a bad plot"] * 60
    audit = label_audit(np.arange(120) % 2, 2, texts=texts, embeddings=embeddings, with_canaries=False)
    voices = {name.split("@")[-1] for name in audit.scores}
    assert voices == {"linear", "neighbours", "naive_bayes", "letters", "wrong", "consensus"}
    assert voices <= {name for names in said for name in names.split(", ")}
    for name, (formula, meaning, limits) in said.items():
        assert all((formula, meaning, limits)), name
