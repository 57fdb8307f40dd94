"""Sweeps: searches over recipes that go on where they stopped.

search      what a recipe's [sweep] means       space       dimensions, conditions, grids
samplers    the next configuration              pruning     who stops at a rung, who goes on
study       Optuna's study made of our rows     rungs       where pruners look; epochs saved
plan        what to do next                     driver      the loop around it
ledger      what trials are and become          take_up     the sweep that a command means
engine      the interface to places             local       worker processes on this machine
worker      what such a process does            places      devices and threads
queued      jobs for any `runner worker`        leased      what the process of such a job does
leaders     the best, and how sure that is      failures    which are the same, when to stop
measures    objectives, read from runs          latency     one text at a time
asked_for   recipe and budget of a command      preview     what would be run
display     what is shown meanwhile             summary     what is shown at the end
occupancy   seconds that trials hold devices
tidy        checkpoints of stopped trials       configurations   trials of one number together
trial_data  the version that a trial trains on
"""
