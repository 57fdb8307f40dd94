"""What can go wrong in the store, in words a user can act on."""


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


class RunHeld(StoreError):
    """Another living process records this run."""


class RowsLost(StoreError):
    """Rows could not be written before the recorder had to close."""


class SweepNotFound(StoreError):
    """No sweep matches the selector."""


class SweepHeld(StoreError):
    """Another living process drives this sweep."""
