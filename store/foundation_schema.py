"""The tables and views of migration m001: data, runs, metrics and outputs.

Like the migration itself this text is never edited once it has landed.
"""

FOUNDATION = """
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
