"""Saving a damaged store: a new one with every row that can be read takes its place.

swap     from the damaged file to the new one in its place     salvage  every readable row into a new store
btrees   rows around damaged pages                             cells    rows on pages, and where they go on
rows     how a row is written                                  pages    the file, its log and its free pages
layout   what each table looks like on disk                    mending  rows that fit together again
"""

from store.rescue.salvage import Report, Salvaged, SavedTable
from store.rescue.swap import Rescue, only_user, rescue_store

__all__ = ["Report", "Rescue", "Salvaged", "SavedTable", "only_user", "rescue_store"]
