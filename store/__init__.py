"""The store: everything about every run in one SQLite file. The only place that knows SQL.

connection   opening, writing (`Store.write`), the version that caches are keyed on
migrations   the schema, append-only
foundation_schema  the tables of the first one  work_schema   of the second
records      frozen records handed out       ids      content hashes, ULIDs, fingerprints
datasets     examples and dataset versions   runs     runs, events, logs, costs, checkpoints
leases       who holds a run                 metrics  curves and their summaries
holders      whether a process still lives   statuses what became of whatever a dead one held
evaluations  scores and predictions          blocks   packed dynamics and embeddings
comparisons  runs side by side, by example   recorder what can be recorded while a run runs
writer       its queue and its one thread    health   integrity and sizes
silent       one that keeps nothing
entries      what was recorded, as records    batches  entries written in one transaction
spool        entries in a file, checksummed   folding  from there into the store, exactly once
spools       what waits on disk; dead ones    spool_folders  where
sweeps       searches and who drives them    trials   their configurations, each a run
trial_answers  what their runs answered, side by side
segments     stretches between (re)starts
jobs         the queue, as people handle it   job_leases who carries a job out
job_order    the order of those that wait    trial_jobs a sweep's trials as jobs, and their messages
flights      the last steps before trouble   ring     their file while a run runs
alerts       what a person should look at    backup   a whole copy, taken while others write
rescue       saving a damaged store          merging  another store's rows into this one
leftovers    what killed processes left behind  removal what goes with a run
triages      what was found out of a dataset  triage_steps   step by step
triage_columns  a value for each example     triage_schema   their tables
findings     reasons to look at examples     triage_queue   in which order
queue_filters  and which of them             packed   positions as blobs
decisions    what people did about them      standing what stands of it
decided      how far they are                versions datasets made of decisions
patches      decisions as lines of a file    opinions out-of-fold probabilities
profiles     a dataset version as a tokenizer sees it
facets       examples by their metadata      patterns regular expressions, in time
errors       what can go wrong, in words     frames   query results as frames and arrays
plain        values as JSON that SQLite takes  oom    whether the kernel killed for memory
labelled     names of labels in SQL          queries rows of one query
selectors    what a run, a sweep or a job is named by
targets      what may be decided in their place
target_tokens  how likely a run finds what it learns
merged       a merged run beside its parents
"""

from store.alerts import list_alerts
from store.backup import Backup, backup_store
from store.blocks import (
    DynamicsRow,
    count_embeddings,
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
    read_meetings,
    read_pairs,
)
from store.connection import Store, open_readonly, open_store, reading
from store.datasets import (
    find_dataset,
    get_dataset,
    iter_inputs,
    iter_texts,
    list_datasets,
    read_inputs,
    read_rows,
    read_targets,
    read_values,
    record_dataset,
    target_types,
)
from store.decided import Progress, current_decisions, decision_progress, decision_version, list_views
from store.decisions import (
    Action,
    Decision,
    NewDecision,
    list_decisions,
    record_decision,
    record_decisions,
    redo_last,
    undo_last,
)
from store.errors import (
    DatasetNotFound,
    DecisionRefused,
    FlightNotFound,
    JobNotFound,
    JobRefused,
    OpinionHeld,
    OpinionNotFound,
    PatternRefused,
    RowsLost,
    RunAmbiguous,
    RunHeld,
    RunNotFound,
    RunNotResumable,
    StoreError,
    StoreNotFound,
    StoreTooNew,
    StoreUnreadable,
    SweepHeld,
    SweepNotFound,
    TriageHeld,
    TriageNotFound,
    VersionRefused,
    WorkerExists,
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
    read_responses,
)
from store.facets import list_facets
from store.findings import count_findings, group_members, list_findings, list_groups
from store.flights import Flight, FlightKind, get_flight, list_flight_examples, list_flights
from store.health import StoreHealth, check_store
from store.ids import dataset_fingerprint, example_id
from store.job_leases import reconcile_jobs
from store.job_order import reorder_job, set_priority
from store.jobs import (
    Job,
    JobStatus,
    cancel_job,
    get_job,
    job_device,
    job_log,
    list_jobs,
    list_workers,
    pause_job,
    queue_job,
    remove_job,
    resume_job,
    retry_job,
)
from store.leases import get_lease
from store.leftovers import (
    StaleRows,
    count_stale_rows,
    delete_stale_leases,
    mark_deleted,
    register_checkpoint,
    run_ids,
)
from store.merged import OTHER_PARENT, list_merge_scores
from store.merging import Candidate, DatasetMerge, Merged, merge_store
from store.metrics import list_latest, list_metrics, list_sparklines
from store.opinions import (
    Opinion,
    beat_opinion,
    begin_opinion,
    delete_opinion,
    finished_parts,
    get_opinion,
    hold_opinion,
    list_opinions,
    read_opinion,
    record_opinion,
    record_opinion_part,
    release_opinion,
)
from store.patches import PatchReport, apply_patch, export_patch
from store.profiles import Profile, list_profiles, record_profile
from store.queries import read_queries
from store.queue_filters import QueueFilter
from store.recorder import Recorder
from store.records import (
    Checkpoint,
    Dataset,
    Evaluation,
    Lease,
    NewRow,
    NewRun,
    NewSweep,
    NewTrial,
    Objective,
    Run,
    RunCost,
    RunId,
    ScoreRow,
    Status,
    Sweep,
    SystemSample,
    Trial,
    TrialReport,
)
from store.removal import RunSize, delete_run, run_size
from store.rescue import Rescue, SavedTable, rescue_store
from store.runs import (
    count_matching_runs,
    count_runs,
    delete_checkpoints,
    find_runs,
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
    set_dataset,
)
from store.segments import Segment, list_segments, open_segment
from store.spools import Folded, SpoolReport, SpoolStatus, fold_spools, spool_status
from store.statuses import reconcile
from store.sweeps import find_sweep, get_sweep, list_sweeps, record_sweep, request_stop
from store.target_tokens import TargetTokens, read_example_tokens, read_target_tokens
from store.triage_columns import list_columns, read_column, read_column_at
from store.triage_queue import count_queue, list_places, list_queue
from store.triage_steps import finished_steps, record_step
from store.triages import (
    Triage,
    beat_triage,
    begin_triage,
    delete_triage,
    fail_triage,
    find_triage,
    finish_triage,
    get_triage,
    latest_triage,
    list_triages,
)
from store.trials import list_trial_reports, list_trials, read_reports, read_trials
from store.versions import count_changes, list_changes, list_version_changes, make_version

__all__ = [
    "OTHER_PARENT",
    "Action",
    "Answers",
    "Backup",
    "Candidate",
    "Checkpoint",
    "Dataset",
    "DatasetMerge",
    "DatasetNotFound",
    "Decision",
    "DecisionRefused",
    "DynamicsRow",
    "Evaluation",
    "Flight",
    "FlightKind",
    "FlightNotFound",
    "Folded",
    "Job",
    "JobNotFound",
    "JobRefused",
    "JobStatus",
    "Lease",
    "Merged",
    "NewDecision",
    "NewRow",
    "NewRun",
    "NewSweep",
    "NewTrial",
    "Objective",
    "Opinion",
    "OpinionHeld",
    "OpinionNotFound",
    "Pairs",
    "PatchReport",
    "PatternRefused",
    "Predictions",
    "Profile",
    "Progress",
    "QueueFilter",
    "Recorder",
    "Rescue",
    "RowsLost",
    "Run",
    "RunAmbiguous",
    "RunCost",
    "RunHeld",
    "RunId",
    "RunNotFound",
    "RunNotResumable",
    "RunSize",
    "SavedTable",
    "ScoreRow",
    "Segment",
    "SpoolReport",
    "SpoolStatus",
    "StaleRows",
    "Status",
    "Store",
    "StoreError",
    "StoreHealth",
    "StoreNotFound",
    "StoreTooNew",
    "StoreUnreadable",
    "Sweep",
    "SweepHeld",
    "SweepNotFound",
    "SystemSample",
    "TargetTokens",
    "Triage",
    "TriageHeld",
    "TriageNotFound",
    "Trial",
    "TrialReport",
    "VersionRefused",
    "WorkerExists",
    "apply_patch",
    "backup_store",
    "beat_opinion",
    "beat_triage",
    "begin_opinion",
    "begin_triage",
    "cancel_job",
    "check_store",
    "count_changes",
    "count_embeddings",
    "count_findings",
    "count_flips",
    "count_matching_runs",
    "count_predictions",
    "count_queue",
    "count_runs",
    "count_stale_rows",
    "current_decisions",
    "dataset_fingerprint",
    "decision_progress",
    "decision_version",
    "delete_checkpoints",
    "delete_opinion",
    "delete_run",
    "delete_stale_leases",
    "delete_triage",
    "example_id",
    "export_patch",
    "fail_triage",
    "find_dataset",
    "find_runs",
    "find_sweep",
    "find_triage",
    "finish_run",
    "finish_triage",
    "finished_parts",
    "finished_steps",
    "fold_spools",
    "get_cost",
    "get_dataset",
    "get_evaluation",
    "get_flight",
    "get_job",
    "get_lease",
    "get_opinion",
    "get_run",
    "get_sweep",
    "get_triage",
    "group_members",
    "hold_opinion",
    "iter_dynamics",
    "iter_inputs",
    "iter_texts",
    "job_device",
    "job_log",
    "latest_triage",
    "list_alerts",
    "list_changes",
    "list_checkpoints",
    "list_columns",
    "list_datasets",
    "list_decisions",
    "list_dynamics",
    "list_evaluations",
    "list_events",
    "list_example_history",
    "list_example_places",
    "list_facets",
    "list_findings",
    "list_flight_examples",
    "list_flights",
    "list_flips",
    "list_groups",
    "list_jobs",
    "list_latest",
    "list_merge_scores",
    "list_metrics",
    "list_opinions",
    "list_places",
    "list_predictions",
    "list_profiles",
    "list_queue",
    "list_run_facets",
    "list_runs",
    "list_samples",
    "list_scores",
    "list_segments",
    "list_sparklines",
    "list_sweeps",
    "list_triages",
    "list_trial_reports",
    "list_trials",
    "list_version_changes",
    "list_views",
    "list_workers",
    "make_version",
    "mark_deleted",
    "merge_store",
    "open_readonly",
    "open_segment",
    "open_store",
    "pause_job",
    "queue_job",
    "read_answers",
    "read_column",
    "read_column_at",
    "read_embeddings",
    "read_example_dynamics",
    "read_example_tokens",
    "read_inputs",
    "read_log",
    "read_meetings",
    "read_opinion",
    "read_pairs",
    "read_predictions",
    "read_queries",
    "read_reports",
    "read_responses",
    "read_rows",
    "read_target_tokens",
    "read_targets",
    "read_trials",
    "read_values",
    "reading",
    "reconcile",
    "reconcile_jobs",
    "record_dataset",
    "record_decision",
    "record_decisions",
    "record_opinion",
    "record_opinion_part",
    "record_profile",
    "record_run",
    "record_step",
    "record_sweep",
    "redo_last",
    "register_checkpoint",
    "release_opinion",
    "remove_job",
    "reorder_job",
    "request_stop",
    "rescue_store",
    "resume_job",
    "retry_job",
    "run_files",
    "run_ids",
    "run_size",
    "set_dataset",
    "set_priority",
    "spool_status",
    "target_types",
    "undo_last",
]
