"""Merging another store into this one: datasets and examples by content, runs and sweeps by id.

tables   what every table's rows are known by and refer to     other   opening the other store, never writing it
plan     what there is to do                                   apply   doing it, run by run

Every dataset, every run and every sweep is one transaction: a merge that is stopped goes on when it is started again.
"""

from store.merging.apply import CopyFiles, Merged, merge_store
from store.merging.plan import Candidate, DatasetMerge, Plan

__all__ = ["Candidate", "CopyFiles", "DatasetMerge", "Merged", "Plan", "merge_store"]
