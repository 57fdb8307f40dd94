"""What a launcher (torchrun, `accelerate launch`) told this process, without loading torch."""

import os


def n_launched() -> int:
    """How many processes it started; 1 where there is no launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def follows() -> bool:
    """Whether another of them does what only one may: the one of rank 0."""
    return n_launched() > 1 and os.environ.get("RANK", "0") != "0"


def asks_for(what: str) -> bool:
    """Whether accelerate was told to use this: `FSDP`, `DEEPSPEED`, `PARALLELISM_CONFIG`."""
    return os.environ.get(f"ACCELERATE_USE_{what}", "").lower() in ("1", "true")
