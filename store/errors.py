"""What can go wrong in the store, in words a user can act on."""

import errno
import sqlite3

# What a write fails of when it is the file that cannot be written just now, rather than this row that is wrong.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

# The same of files and processes beside the store: no room, or no memory.
_PASSING_NUMBERS = {errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.ENOMEM}


class StoreError(Exception):
    """Any problem with the store; its text is meant to be shown as it is."""


class StoreNotFound(StoreError):
    """The file does not exist and was not to be created."""


class StoreUnreadable(StoreError):
    """The file is not an Assay store, is damaged, or may not be read or written."""


class StoreTooNew(StoreError):
    """A newer Assay wrote this file."""


class DatasetNotFound(StoreError):
    """No dataset has that name or version."""


class RunNotFound(StoreError):
    """No run matches the selector."""


class RunAmbiguous(StoreError):
    """Several runs match the selector; the text names them."""


class FlightNotFound(StoreError):
    """No flight has that key."""


class RunHeld(StoreError):
    """Another living process records this run."""


class RunNotResumable(StoreError):
    """The run cannot go on: it is finished, at work, or has not begun."""


class RowsLost(StoreError):
    """Rows could not be written before the recorder had to close."""


class JobNotFound(StoreError):
    """No job matches the selector, or several do; the text names what there is."""


class JobRefused(StoreError):
    """The job is in no state for what was asked of it; the text says what can be done instead."""


class WorkerExists(StoreError):
    """Another living process takes jobs for this device on this host."""


class SweepNotFound(StoreError):
    """No sweep matches the selector."""


class SweepHeld(StoreError):
    """Another living process drives this sweep."""


class TriageNotFound(StoreError):
    """No triage matches the selector."""


class TriageHeld(StoreError):
    """Another living process computes this triage."""


class OpinionHeld(StoreError):
    """Another living process makes this opinion."""


class OpinionNotFound(StoreError):
    """No opinion has that key."""


class DecisionRefused(StoreError):
    """What was to be decided does not fit the dataset; the text names every problem."""


class VersionRefused(StoreError):
    """No version can be made of the decisions; the text says why, and what can be done."""


class PatternRefused(StoreError):
    """A regular expression that cannot be read, or that takes too long."""


def may_pass(error: Exception) -> bool:
    """Whether what failed so may succeed later: a lock, a full disk, a file out of reach, no memory for a process.

    A store that was explained to be damaged (StoreUnreadable) is for a person to look after.
    """
    if isinstance(error, OSError):
        return error.errno in _PASSING_NUMBERS
    if isinstance(error, StoreUnreadable) and isinstance(error.__cause__, sqlite3.Error):
        reason = error.__cause__
        return may_pass(reason) and (getattr(reason, "sqlite_errorcode", 0) & 0xFF) not in _DAMAGED
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.OperationalError) if code is None else (code & 0xFF) in _PASSING
