"""What the user can mend: shown as text, without a traceback, with exit code 2."""


class UserError(Exception):
    """Base of every error that is about the input or the machine, not about our code."""


class TrainingDiverged(UserError):
    """The model's loss or its outputs stopped being numbers."""


class NotTogether(UserError):
    """Several processes cannot train this; its text says why and what can be done."""


class ModelError(UserError):
    """The model cannot be used; its text says why and what to do."""
