"""The store: everything about every run in one SQLite file. The only place that knows SQL.

connection   opening, writing (`Store.write`), the version that caches are keyed on
migrations   the schema, append-only
records      frozen records handed out       ids      content hashes, ULIDs, fingerprints
datasets     examples and dataset versions   runs     runs, events, logs, costs, checkpoints
leases       who holds a run; reconcile      metrics  curves and their summaries
evaluations  scores and predictions          blocks   packed dynamics and embeddings
comparisons  runs side by side, by example   recorder what can be recorded while a run runs
writer       its queue and its one thread    health   integrity and sizes
errors       what can go wrong, in words     frames   query results as frames and arrays
"""

from store.blocks import (
    DynamicsRow,
    iter_dynamics,
    list_dynamics,
    read_embeddings,
    read_example_dynamics,
)
from store.comparisons import (
    Pairs,
    count_flips,
    list_example_history,
    list_example_places,
    list_flips,
    read_pairs,
)
from store.connection import Store, open_readonly, open_store, reading
from store.datasets import (
    find_dataset,
    get_dataset,
    iter_texts,
    list_datasets,
    read_rows,
    read_targets,
    record_dataset,
)
from store.errors import (
    DatasetNotFound,
    RowsLost,
    RunAmbiguous,
    RunHeld,
    RunNotFound,
    StoreError,
    StoreNotFound,
    StoreTooNew,
    StoreUnreadable,
)
from store.evaluations import (
    Answers,
    Predictions,
    count_predictions,
    get_evaluation,
    list_evaluations,
    list_predictions,
    list_scores,
    read_answers,
    read_predictions,
)
from store.health import StoreHealth, check_store
from store.ids import dataset_fingerprint, example_id
from store.leases import get_lease, reconcile
from store.metrics import list_latest, list_metrics, list_sparklines
from store.recorder import Recorder
from store.records import (
    Checkpoint,
    Dataset,
    Evaluation,
    Lease,
    NewRow,
    NewRun,
    Run,
    RunCost,
    RunId,
    ScoreRow,
    Status,
    SystemSample,
)
from store.runs import (
    count_matching_runs,
    count_runs,
    delete_run,
    finish_run,
    get_cost,
    get_run,
    list_checkpoints,
    list_events,
    list_run_facets,
    list_runs,
    list_samples,
    read_log,
    record_run,
    run_files,
    run_size,
    set_dataset,
)

__all__ = [
    "Answers",
    "Checkpoint",
    "Dataset",
    "DatasetNotFound",
    "DynamicsRow",
    "Evaluation",
    "Lease",
    "NewRow",
    "NewRun",
    "Pairs",
    "Predictions",
    "Recorder",
    "RowsLost",
    "Run",
    "RunAmbiguous",
    "RunCost",
    "RunHeld",
    "RunId",
    "RunNotFound",
    "ScoreRow",
    "Status",
    "Store",
    "StoreError",
    "StoreHealth",
    "StoreNotFound",
    "StoreTooNew",
    "StoreUnreadable",
    "SystemSample",
    "check_store",
    "count_flips",
    "count_matching_runs",
    "count_predictions",
    "count_runs",
    "dataset_fingerprint",
    "delete_run",
    "example_id",
    "find_dataset",
    "finish_run",
    "get_cost",
    "get_dataset",
    "get_evaluation",
    "get_lease",
    "get_run",
    "iter_dynamics",
    "iter_texts",
    "list_checkpoints",
    "list_datasets",
    "list_dynamics",
    "list_evaluations",
    "list_events",
    "list_example_history",
    "list_example_places",
    "list_flips",
    "list_latest",
    "list_metrics",
    "list_predictions",
    "list_run_facets",
    "list_runs",
    "list_samples",
    "list_scores",
    "list_sparklines",
    "open_readonly",
    "open_store",
    "read_answers",
    "read_embeddings",
    "read_example_dynamics",
    "read_log",
    "read_pairs",
    "read_predictions",
    "read_rows",
    "read_targets",
    "reading",
    "reconcile",
    "record_dataset",
    "record_run",
    "run_files",
    "run_size",
    "set_dataset",
]
