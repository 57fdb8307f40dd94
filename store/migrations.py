"""The schema, as an append-only list of migrations.

A migration that has landed is never edited: a change of schema is a new function below the last one,
a file of the schema before it in `tests/store/assets/`, and a test that goes on working with that file.

Conventions. Surrogate integer `key`s join tables and stay inside the file; the `id`s people see (ULIDs of runs,
content hashes of examples) are the same in every file, so stores merge. Times (`_at`) are unix seconds, UTC.
NULL is "not measured". Tables that are read by a range of their key are WITHOUT ROWID in that key's order.
"""

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from store.triage_schema import TRIAGE

migrations = Migrations("assay")


@migrations()  # type: ignore[untyped-decorator]  # sqlite-utils ships no types
def m001_foundation(db: Database) -> None:
    for statement in _FOUNDATION.split(";\n"):
        if statement.strip():
            db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m002_work(db: Database) -> None:
    for statement in _WORK.split(";\n"):
        if statement.strip():
            db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m003_triage(db: Database) -> None:
    for statement in TRIAGE.split(";\n"):
        if statement.strip():
            db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m004_accounts(db: Database) -> None:
    for statement in _ACCOUNTS.split(";\n"):
        if statement.strip():
            db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m005_responses(db: Database) -> None:
    db.execute(_RESPONSES)
    # The views took every target for the index of a label; a number, or JSON, is no place in a list.
    views = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'view' AND sql LIKE '%|| w.target ||%'")
    for name, statement in views.fetchall():
        db.execute(f"DROP VIEW {name}")
        db.execute(statement.replace("|| w.target ||", "|| iif(typeof(w.target) = 'integer', w.target, '#') ||"))


@migrations()  # type: ignore[untyped-decorator]  # as above
def m006_trial_jobs(db: Database) -> None:
    for statement in _TRIAL_JOBS.split(";\n"):
        if statement.strip():
            db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m007_target_tokens(db: Database) -> None:
    db.execute(_TARGET_TOKENS)


@migrations()  # type: ignore[untyped-decorator]  # as above
def m008_decided_targets(db: Database) -> None:
    # What is decided may be spans, a set of labels or a number, and is no place in a list of names then.
    views = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'view' AND sql LIKE '%|| e.label ||%'")
    for name, statement in views.fetchall():
        db.execute(f"DROP VIEW {name}")
        db.execute(statement.replace("|| e.label ||", "|| iif(typeof(e.label) = 'integer', e.label, '#') ||"))


_TARGET_TOKENS = """
CREATE TABLE target_tokens (              -- what the best weights say of each token that examples teach, end to end
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    split TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    n_examples INTEGER NOT NULL,
    lengths BLOB NOT NULL,                -- (n_examples,) tokens of each, little-endian int32
    log_probs BLOB NOT NULL,              -- (tokens,) of what is to be said, little-endian float16, natural logarithm
    best_other BLOB NOT NULL,             -- as that, of the likeliest other token
    alone BLOB,                           -- as log_probs, without what stands before the answer; NULL = not measured
    PRIMARY KEY (run_key, split, first_position)
) STRICT
"""

_RESPONSES = """
CREATE TABLE responses (                  -- what a model said where no class says it, as JSON by the run's task
    evaluation_key INTEGER NOT NULL REFERENCES evaluations (key) ON DELETE CASCADE,
    position INTEGER NOT NULL,            -- of the run's dataset and the evaluation's split
    response TEXT NOT NULL CHECK (json_valid(response)),
    PRIMARY KEY (evaluation_key, position)
) STRICT, WITHOUT ROWID
"""

_FOUNDATION = """
CREATE TABLE store_version (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL              -- +1 with every write transaction: what caches are keyed on
) STRICT;
INSERT INTO store_version VALUES (1, 0);

-- data ------------------------------------------------------------------------------------------------------------
CREATE TABLE examples (
    key INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),   -- blake2b-128 of the canonical inputs
    text TEXT NOT NULL,                                -- what a person reads and searches
    inputs TEXT CHECK (inputs IS NULL OR json_valid(inputs))  -- NULL where the text is the whole input
) STRICT;
CREATE VIRTUAL TABLE examples_fts USING fts5(text, content='examples', content_rowid='key');

CREATE TABLE datasets (
    key INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER,                      -- NULL: a draft that is still being written, invisible
    fingerprint TEXT NOT NULL,
    parent_key INTEGER REFERENCES datasets (key),
    label_names TEXT CHECK (label_names IS NULL OR json_valid(label_names)),
    source TEXT NOT NULL CHECK (json_valid(source)),
    n_rows TEXT NOT NULL CHECK (json_valid(n_rows)),   -- {split: count}
    created_at REAL NOT NULL,
    UNIQUE (name, version)
) STRICT;
CREATE TABLE dataset_rows (
    dataset_key INTEGER NOT NULL REFERENCES datasets (key) ON DELETE CASCADE,
    split TEXT NOT NULL,
    position INTEGER NOT NULL,
    example_key INTEGER NOT NULL REFERENCES examples (key),
    target ANY,                           -- label index for classification, number or text for other tasks
    metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    PRIMARY KEY (dataset_key, split, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX dataset_rows_by_example ON dataset_rows (example_key);

-- runs ------------------------------------------------------------------------------------------------------------
CREATE TABLE runs (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (length(id) = 26),
    name TEXT NOT NULL,
    task TEXT,
    method TEXT,
    base_model TEXT,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'finished', 'failed', 'killed', 'pruned')),
    cause TEXT,                           -- why it failed or was killed, in a sentence
    recipe_text TEXT,                     -- verbatim, as the user wrote it
    recipe TEXT CHECK (recipe IS NULL OR json_valid(recipe)),   -- resolved
    recipe_hash TEXT,
    dataset_key INTEGER REFERENCES datasets (key),
    provenance TEXT CHECK (provenance IS NULL OR json_valid(provenance)),
    tags TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags)),
    note TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    select_metric TEXT,                   -- such as validation/macro_f1
    version INTEGER NOT NULL DEFAULT 0    -- +1 with every write about this run: what its caches are keyed on
) STRICT;
CREATE INDEX runs_by_time ON runs (created_at);
CREATE INDEX runs_by_recipe ON runs (recipe_hash);
CREATE INDEX runs_by_dataset ON runs (dataset_key);

CREATE TABLE leases (                     -- who holds a running run
    run_key INTEGER PRIMARY KEY REFERENCES runs (key) ON DELETE CASCADE,
    host TEXT NOT NULL,
    boot_id TEXT,
    pid INTEGER NOT NULL,
    process_started_at REAL NOT NULL,     -- tells a reused pid from the process that took the lease
    heartbeat_at REAL NOT NULL,
    oom_kills INTEGER,                    -- the kernel's count of out-of-memory kills when the run began
    rows_pending INTEGER NOT NULL DEFAULT 0,
    rows_lost INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE segments (                   -- stretches of a run between (re)starts
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    start_step INTEGER NOT NULL,
    visible_until INTEGER,                -- steps after it were abandoned by a later segment; NULL: all visible
    started_at REAL NOT NULL,
    PRIMARY KEY (run_key, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
    key INTEGER PRIMARY KEY,
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    segment INTEGER NOT NULL,
    step INTEGER NOT NULL,
    epoch REAL,
    path TEXT NOT NULL,                   -- relative to the store's files folder, or a URL
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,                 -- of the manifest: names and hashes of all files in it
    manifest TEXT NOT NULL CHECK (json_valid(manifest)),
    is_best INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    deleted_at REAL,
    UNIQUE (run_key, segment, step)
) STRICT;

CREATE TABLE run_events (
    key INTEGER PRIMARY KEY,
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    data TEXT CHECK (data IS NULL OR json_valid(data))
) STRICT;
CREATE INDEX run_events_by_run ON run_events (run_key, key);

CREATE TABLE run_logs (
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (run_key, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_costs (
    run_key INTEGER PRIMARY KEY REFERENCES runs (key) ON DELETE CASCADE,
    wall_seconds REAL, train_seconds REAL, eval_seconds REAL, device_seconds REAL,
    peak_host_bytes INTEGER, peak_device_bytes INTEGER,
    trainable_parameters INTEGER, total_parameters INTEGER,
    tokens_seen INTEGER, examples_seen INTEGER, tokens_per_second REAL, examples_per_second REAL,
    data_wait_share REAL, device_utilisation REAL, energy_joules REAL
) STRICT;

CREATE TABLE system_samples (
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    at REAL NOT NULL,
    cpu_percent REAL, host_bytes INTEGER, device_utilisation REAL, device_bytes INTEGER, power_watts REAL,
    PRIMARY KEY (run_key, at)
) STRICT, WITHOUT ROWID;

-- metrics ---------------------------------------------------------------------------------------------------------
CREATE TABLE metric_keys (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE metrics (
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    metric_key INTEGER NOT NULL REFERENCES metric_keys (key),
    segment INTEGER NOT NULL,
    step INTEGER NOT NULL,
    value REAL,
    not_finite TEXT,                      -- 'nan', 'inf' or '-inf' where value is NULL because of it
    PRIMARY KEY (run_key, metric_key, segment, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE metric_latest (
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    metric_key INTEGER NOT NULL REFERENCES metric_keys (key),
    n INTEGER NOT NULL,
    latest_step INTEGER NOT NULL, latest_value REAL, latest_not_finite TEXT,
    min_step INTEGER, min_value REAL,
    max_step INTEGER, max_value REAL,
    PRIMARY KEY (run_key, metric_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE steps (                      -- the other x axes of a run's curves, once per logged step
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    segment INTEGER NOT NULL,
    step INTEGER NOT NULL,
    seconds REAL,                         -- since the run began
    epoch REAL,
    tokens INTEGER,
    PRIMARY KEY (run_key, segment, step)
) STRICT, WITHOUT ROWID;

-- outputs ---------------------------------------------------------------------------------------------------------
CREATE TABLE evaluations (
    key INTEGER PRIMARY KEY,
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    segment INTEGER NOT NULL,
    step INTEGER NOT NULL,
    epoch REAL,
    split TEXT NOT NULL,
    n_examples INTEGER NOT NULL,
    is_best INTEGER NOT NULL DEFAULT 0,   -- of the checkpoint chosen by the run's select metric
    at REAL NOT NULL,
    UNIQUE (run_key, segment, step, split)
) STRICT;
CREATE TABLE scores (                     -- a metric of one evaluation with its 95 % interval
    evaluation_key INTEGER NOT NULL REFERENCES evaluations (key) ON DELETE CASCADE,
    metric_key INTEGER NOT NULL REFERENCES metric_keys (key),
    value REAL, low REAL, high REAL, n INTEGER,
    PRIMARY KEY (evaluation_key, metric_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE predictions (
    evaluation_key INTEGER NOT NULL REFERENCES evaluations (key) ON DELETE CASCADE,
    position INTEGER NOT NULL,            -- of the run's dataset and the evaluation's split
    predicted INTEGER,
    p_given REAL, p_predicted REAL, margin REAL, loss REAL,
    PRIMARY KEY (evaluation_key, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE dynamics (                   -- what the model said of training examples, epoch by epoch
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    segment INTEGER NOT NULL,
    epoch INTEGER NOT NULL,               -- 1 = the first pass over the data
    step INTEGER NOT NULL,                -- at the end of the epoch
    first_position INTEGER NOT NULL,
    n_examples INTEGER NOT NULL,
    n_classes INTEGER NOT NULL,
    block BLOB NOT NULL,                  -- (n_examples, width) little-endian 16-bit words: see evals.dynamics
    PRIMARY KEY (run_key, epoch, segment, first_position)
) STRICT, WITHOUT ROWID;
CREATE TABLE embedding_sets (
    key INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,     -- of encoder and data: runs that share a frozen encoder share a set
    dataset_key INTEGER NOT NULL REFERENCES datasets (key),
    n_dimensions INTEGER NOT NULL,
    pooling TEXT NOT NULL
) STRICT;
CREATE TABLE embeddings (
    set_key INTEGER NOT NULL REFERENCES embedding_sets (key) ON DELETE CASCADE,
    split TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    n_examples INTEGER NOT NULL,
    block BLOB NOT NULL,                  -- (n_examples, n_dimensions) little-endian float16
    PRIMARY KEY (set_key, split, first_position)
) STRICT, WITHOUT ROWID;
CREATE TABLE run_embeddings (
    run_key INTEGER PRIMARY KEY REFERENCES runs (key) ON DELETE CASCADE,
    set_key INTEGER NOT NULL REFERENCES embedding_sets (key)
) STRICT;

-- views for people who open the file in sqlite-utils, Datasette or pandas ------------------------------------------
CREATE VIEW visible_metrics AS
    SELECT m.run_key, m.metric_key, m.segment, m.step, m.value, m.not_finite FROM metrics m
    JOIN segments s ON s.run_key = m.run_key AND s.number = m.segment
    WHERE s.visible_until IS NULL OR m.step <= s.visible_until;
CREATE VIEW visible_evaluations AS
    SELECT e.* FROM evaluations e
    JOIN segments s ON s.run_key = e.run_key AND s.number = e.segment
    WHERE s.visible_until IS NULL OR e.step <= s.visible_until;
CREATE VIEW run_metrics AS
    SELECT r.id AS run_id, r.name AS run, k.name AS metric, m.step, m.value, m.not_finite, t.epoch, t.seconds, t.tokens
    FROM visible_metrics m JOIN runs r ON r.key = m.run_key JOIN metric_keys k ON k.key = m.metric_key
    LEFT JOIN steps t ON t.run_key = m.run_key AND t.segment = m.segment AND t.step = m.step;
CREATE VIEW run_scores AS
    SELECT r.id AS run_id, r.name AS run, e.split, e.step, e.epoch, e.is_best, k.name AS metric,
           s.value, s.low, s.high, s.n
    FROM scores s JOIN visible_evaluations e ON e.key = s.evaluation_key
    JOIN runs r ON r.key = e.run_key JOIN metric_keys k ON k.key = s.metric_key;
CREATE VIEW dataset_examples AS
    SELECT d.name AS dataset, d.version, w.split, w.position, lower(hex(x.id)) AS example_id, x.text,
           coalesce(json_extract(d.label_names, '$[' || w.target || ']'), w.target) AS target, w.metadata
    FROM dataset_rows w JOIN datasets d ON d.key = w.dataset_key JOIN examples x ON x.key = w.example_key
    WHERE d.version IS NOT NULL;
CREATE VIEW run_predictions AS
    SELECT r.id AS run_id, r.name AS run, e.split, e.step, e.epoch, p.position, lower(hex(x.id)) AS example_id, x.text,
           json_extract(d.label_names, '$[' || w.target || ']') AS given,
           json_extract(d.label_names, '$[' || p.predicted || ']') AS predicted,
           p.p_given, p.p_predicted, p.margin, p.loss
    FROM predictions p JOIN visible_evaluations e ON e.key = p.evaluation_key JOIN runs r ON r.key = e.run_key
    JOIN datasets d ON d.key = r.dataset_key
    JOIN dataset_rows w ON w.dataset_key = d.key AND w.split = e.split AND w.position = p.position
    JOIN examples x ON x.key = w.example_key
"""

# The columns from host to oom_kills are a holder's (`store.holders`): the process that has the thing in hand.
_WORK = """
CREATE TABLE sweeps (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (length(id) = 26),
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'finished', 'failed', 'killed')),
    cause TEXT,                           -- why it ended, or paused, in a sentence
    recipe_text TEXT NOT NULL,            -- verbatim
    recipe TEXT NOT NULL CHECK (json_valid(recipe)),   -- resolved, with its [sweep]
    written TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(written)),   -- what the recipe says, without defaults
    recipe_path TEXT,                     -- where the text was read, so that the same command can be given again
    fingerprint TEXT NOT NULL,            -- of the search: all but names, notes, tags and the budget
    objectives TEXT NOT NULL CHECK (json_valid(objectives)),   -- [{"metric": ..., "direction": "maximize"}]
    n_trials INTEGER,                     -- configurations wanted; NULL: as many as there are
    is_fresh INTEGER NOT NULL DEFAULT 0,  -- it reuses no run that was there before
    dataset_key INTEGER REFERENCES datasets (key),   -- what its trials train on; NULL where they differ in it
    wall_seconds REAL NOT NULL DEFAULT 0, -- of its drivers, one after the other
    parent_key INTEGER REFERENCES sweeps (key) ON DELETE SET NULL,   -- the sweep this is an edit of
    request TEXT CHECK (request IN ('stop')),   -- asked of the driver
    created_at REAL NOT NULL,
    ended_at REAL,
    host TEXT, boot_id TEXT, pid INTEGER, process_started_at REAL, heartbeat_at REAL, oom_kills INTEGER,
    version INTEGER NOT NULL DEFAULT 0    -- +1 with every write about this sweep
) STRICT;
CREATE INDEX sweeps_by_name ON sweeps (name);
CREATE TABLE trials (                     -- one configuration with one seed; its numbers are its run's
    key INTEGER PRIMARY KEY,
    sweep_key INTEGER NOT NULL REFERENCES sweeps (key) ON DELETE CASCADE,
    number INTEGER NOT NULL,              -- of the configuration, as the sampler counts: from 0
    seed INTEGER NOT NULL,
    parameters TEXT NOT NULL CHECK (json_valid(parameters)),   -- {recipe path: value}
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'finished', 'failed', 'killed', 'pruned')),
    cause TEXT,
    recipe_hash TEXT NOT NULL,            -- of the trial's own resolved recipe
    run_key INTEGER REFERENCES runs (key) ON DELETE SET NULL,
    is_reused INTEGER NOT NULL DEFAULT 0, -- the run was there before
    n_attempts INTEGER NOT NULL DEFAULT 0,
    n_promotions INTEGER NOT NULL DEFAULT 0,   -- how often it was pruned and taken up again
    objective_values TEXT CHECK (objective_values IS NULL OR json_valid(objective_values)),  -- in the objectives' order
    sampler_state TEXT CHECK (sampler_state IS NULL OR json_valid(sampler_state)),   -- what sampler and pruner noted
    created_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    UNIQUE (sweep_key, number, seed)
) STRICT;
CREATE INDEX trials_by_run ON trials (run_key);
CREATE TABLE trial_reports (              -- what a trial said at a rung, as pruners compare it
    trial_key INTEGER NOT NULL REFERENCES trials (key) ON DELETE CASCADE,
    rung INTEGER NOT NULL,                -- from 0; the highest is the end of the training
    step INTEGER NOT NULL,                -- optimizer steps of the run at the rung
    epoch REAL,
    value REAL,
    at REAL NOT NULL,
    PRIMARY KEY (trial_key, rung)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (                       -- the queue of `runner worker`
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (length(id) = 26),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    arguments TEXT NOT NULL CHECK (json_valid(arguments)),   -- of that kind of job
    status TEXT NOT NULL CHECK (status IN ('queued', 'paused', 'running', 'finished', 'failed', 'killed')),
    cause TEXT,
    request TEXT CHECK (request IN ('cancel', 'pause')),   -- asked of a running job
    priority INTEGER NOT NULL DEFAULT 0,  -- higher first
    place REAL NOT NULL,                  -- order within a priority; lower first
    device TEXT,                          -- NULL: any
    n_attempts INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL DEFAULT 1,
    run_key INTEGER REFERENCES runs (key) ON DELETE SET NULL,
    sweep_key INTEGER REFERENCES sweeps (key) ON DELETE SET NULL,
    created_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    host TEXT, boot_id TEXT, pid INTEGER, process_started_at REAL, heartbeat_at REAL, oom_kills INTEGER,
    worker_device TEXT                    -- where it runs
) STRICT;
CREATE INDEX jobs_by_status ON jobs (status, priority DESC, place);
CREATE TABLE workers (                    -- processes that take jobs, one per device
    key INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    job_key INTEGER REFERENCES jobs (key) ON DELETE SET NULL,   -- what it is at
    started_at REAL NOT NULL,
    host TEXT NOT NULL, boot_id TEXT, pid INTEGER NOT NULL, process_started_at REAL NOT NULL,
    heartbeat_at REAL NOT NULL, oom_kills INTEGER
) STRICT;

CREATE TABLE flights (                    -- the last steps before something went wrong, at full rate
    key INTEGER PRIMARY KEY,
    run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    segment INTEGER NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,                   -- see store.flights.FlightKind
    step INTEGER,                         -- at which it went wrong; NULL: not told
    reason TEXT NOT NULL,                 -- in a sentence
    n_steps INTEGER NOT NULL,
    steps BLOB NOT NULL,                  -- see store.ring
    batches BLOB NOT NULL                 -- training positions of each step, one after the other
) STRICT;
CREATE INDEX flights_by_run ON flights (run_key);

CREATE TABLE spools (                     -- how much of each spool file is in the store
    id TEXT PRIMARY KEY,
    n_folded INTEGER NOT NULL,            -- entries, from the first
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE VIEW sweep_trials AS
    SELECT s.id AS sweep_id, s.name AS sweep, t.number, t.seed, t.status, t.cause, t.parameters, t.objective_values,
           t.is_reused, r.id AS run_id, r.name AS run
    FROM trials t JOIN sweeps s ON s.key = t.sweep_key LEFT JOIN runs r ON r.key = t.run_key
"""

_ACCOUNTS = """
-- seconds of a device that the trial held, written down by the sweep's driver
ALTER TABLE trials ADD COLUMN held_seconds REAL;
-- ms: the interval of a measured latency
ALTER TABLE trials ADD COLUMN latency_low REAL;
ALTER TABLE trials ADD COLUMN latency_high REAL;
-- having ready what later runs find ready; in no other figure
ALTER TABLE run_costs ADD COLUMN preparing_seconds REAL;
-- no driver wrote down what came before: the wall time of its run is the nearest that is known
UPDATE trials SET held_seconds = (SELECT c.wall_seconds FROM run_costs c WHERE c.run_key = trials.run_key)
    WHERE NOT is_reused
"""

_TRIAL_JOBS = """
-- the trial that a job carries out for the driver of its sweep
ALTER TABLE jobs ADD COLUMN trial_key INTEGER REFERENCES trials (key) ON DELETE SET NULL;
-- it ends with its job, and takes no other
ALTER TABLE workers ADD COLUMN is_leaving INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_by_trial ON jobs (trial_key) WHERE trial_key IS NOT NULL;
CREATE TABLE trial_messages (             -- between the driver of a sweep and a trial that a worker carries out
    key INTEGER PRIMARY KEY,
    job_key INTEGER NOT NULL REFERENCES jobs (key) ON DELETE CASCADE,
    is_from_driver INTEGER NOT NULL,
    message TEXT NOT NULL,                -- JSON
    at REAL NOT NULL
) STRICT;
CREATE INDEX trial_messages_by_job ON trial_messages (job_key);
CREATE TABLE profiles (                   -- what a dataset version looks like to a tokenizer, before any training
    key INTEGER PRIMARY KEY,
    dataset_key INTEGER NOT NULL REFERENCES datasets (key) ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,            -- of all that decides it beside the data
    profile TEXT NOT NULL CHECK (json_valid(profile)),
    created_at REAL NOT NULL,
    UNIQUE (dataset_key, fingerprint)
) STRICT
"""
