"""The tables and views of migration m002: sweeps and their trials, the queue, flights and spools.

Like the migration itself this text is never edited once it has landed.
"""

# The columns from host to oom_kills are a holder's (`store.holders`): the process that has the thing in hand.
WORK = """
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
