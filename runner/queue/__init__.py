"""The queue: `runner worker` takes jobs from the store and carries each out in a process of its own.

kinds    which kinds of job there are: a table   adding   from a command line to a queued job
worker   takes jobs, one process a device        child    the process of one job, and what it owes the store
recipes  the recipe in a job                     devices  which there are, without loading torch
attending  a job in hand: its heartbeat, and what is asked of it
"""
