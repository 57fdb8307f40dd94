"""Keeping libraries from talking over our own progress and log."""

import logging
import warnings


def quiet_libraries() -> None:
    """Call before torch and transformers are imported: their bars and notices are not news to the user."""
    # bitsandbytes says at import that an optional kernel package is missing; we use none of it on a CPU.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # int8 layers on a CPU say at every step that they cast their input.
    warnings.filterwarnings("ignore", message="MatMul8bitLt: inputs will be cast")
    # Paged optimizers say on a CPU, at every parameter, that there is nothing to page.
    warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU")
    # peft asks a model by an old name whether it recomputes activations, which transformers minds.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
