"""Why a run ends before its time: interrupts, memory, mistakes, each in a sentence."""

import torch

from runner.errors import UserError

_SMALLER = "try a smaller training.batch_size with more training.gradient_accumulation, or a shorter model.max_length"
_HOST_MEMORY = "DefaultCPUAllocator"  # torch says so where it cannot have memory of the host


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory left, on the device or on the host."""
    on_host = isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _HOST_MEMORY in str(error))
    return on_host or isinstance(error, torch.OutOfMemoryError)


def cause_of(error: BaseException) -> str:
    """Why a run failed, in a sentence."""
    if isinstance(error, torch.OutOfMemoryError):
        return f"out of memory on the device; {_SMALLER}. {' '.join(str(error).split())[:300]}"
    if is_out_of_memory(error):
        return f"out of memory on the host; {_SMALLER}. {' '.join(str(error).split())[:300]}".rstrip()
    if isinstance(error, UserError):
        return str(error)
    return f"{type(error).__name__}: {error}"
