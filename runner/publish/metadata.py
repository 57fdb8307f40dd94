"""The front matter of a model card: YAML as model hubs read it, with the results as a model index. Loads no torch."""

import re
from typing import Any

from evals.metrics import find_metric
from runner.publish.example import Format
from runner.publish.facts import Facts
from runner.publish.kinds import KINDS
from runner.publish.markdown import clean

# Identifiers that the Hugging Face hub takes as `license`, of those that models are often under. Others are "other".
_LICENCES = frozenset(
    [
        "afl-3.0",
        "agpl-3.0",
        "apache-2.0",
        "artistic-2.0",
        "bigscience-openrail-m",
        "bigcode-openrail-m",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsl-1.0",
        "cc",
        "cc-by-2.0",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-4.0",
        "cc-by-nd-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "ecl-2.0",
        "epl-2.0",
        "eupl-1.1",
        "gemma",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "isc",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "llama2",
        "llama3",
        "llama3.1",
        "llama3.2",
        "llama3.3",
        "mit",
        "mpl-2.0",
        "ms-pl",
        "odc-by",
        "openrail",
        "openrail++",
        "osl-3.0",
        "unlicense",
        "wtfpl",
        "zlib",
    ]
)

# Metric → the identifier and arguments that hubs know it by.
_KNOWN_METRICS: dict[str, tuple[str, dict[str, str]]] = {
    "accuracy": ("accuracy", {}),
    "macro_f1": ("f1", {"average": "macro"}),
    "weighted_f1": ("f1", {"average": "weighted"}),
    "micro_f1": ("f1", {"average": "micro"}),
    "spearman": ("spearmanr", {}),
    "pearson": ("pearsonr", {}),
}


def front_matter(facts: Facts, form: Format) -> str:
    """The block between the two lines of dashes, those included.

    Text is quoted by the YAML library where it could mean something else.
    """
    from huggingface_hub import ModelCardData

    base = facts.root
    kind = KINDS[str(facts.run.task)]
    source: Any = (facts.recipe.model_dump(mode="json")["data"]).get("source")
    card = facts.recipe.card
    relation = "adapter" if form == "adapter" else "merge" if is_merge(facts) else "finetune"
    licence: Any = _licence(None if card is None else card.licence)
    hub_data = _hub_data(source)
    data = ModelCardData(
        language=list(card.language) if card and card.language else None,
        **licence,
        library_name="transformers" if form == "transformers" else "peft" if form == "adapter" else None,
        pipeline_tag=kind.pipeline,
        base_model=base,
        base_model_relation=relation if base else None,
        datasets=[hub_data] if hub_data else None,
        metrics=sorted({_KNOWN_METRICS[m][0] for m in facts.scores["metric"] if m in _KNOWN_METRICS}) or None,
        tags=["assay", *(["lora"] if form == "adapter" and facts.recipe.model.method in ("lora", "qlora") else [])],
        model_name=clean(facts.run.name),
        eval_results=_results(facts) or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def is_merge(facts: Facts) -> bool:
    """Whether the run was made of other runs' models."""
    return bool((facts.run.provenance or {}).get("merge"))


def _licence(licence: str | None) -> dict[str, str]:
    """What hubs ask of a licence that they have no identifier for: a name of their own for it.

    >>> _licence("Apache-2.0"), _licence("for research only"), _licence(None)
    ({'license': 'apache-2.0'}, {'license': 'other', 'license_name': 'for-research-only'}, {})
    """
    if licence is None:
        return {}
    known = licence.strip().lower()
    if known in _LICENCES:
        return {"license": known}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", known).strip("-")[:60] or "other"}


def _hub_data(source: object) -> str | None:
    """The name of a data set on the hub; None for any other source."""
    if not isinstance(source, str) or not source.startswith("hub:"):
        return None
    return source.removeprefix("hub:").split(":")[0]


def _results(facts: Facts) -> list[Any]:
    """One result a split and metric; what was not measured is not there."""
    from huggingface_hub import EvalResult

    dataset = facts.dataset
    name = "not stated" if dataset is None else clean(str(dataset))
    kind = _hub_data(facts.recipe.model_dump(mode="json")["data"].get("source"))
    kind = kind or re.sub(r"[^\w.-]+", "-", name.split("@")[0]).strip("-.") or "data"
    results = []
    for row in facts.scores.to_dict("records"):
        metric, value = str(row["metric"]), row["value"]
        if value is None or value != value:
            continue
        known, settings = _KNOWN_METRICS.get(metric, (metric, {}))
        results.append(
            EvalResult(
                task_type=KINDS[str(facts.run.task)].pipeline,
                task_name=str(facts.run.task).replace("-", " ").capitalize(),
                dataset_type=kind,
                dataset_name=name,
                dataset_split=clean(row["split"]),
                dataset_revision=None if dataset is None else dataset.fingerprint,
                metric_type=known,
                metric_name=metric if (row_of := find_metric(metric)) is None else row_of.title,
                metric_value=round(float(value), 6),
                metric_args=dict(settings) or None,
            )
        )
    return results
