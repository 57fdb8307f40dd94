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
    # What we call so, older versions know by no other name.
    warnings.filterwarnings("ignore", message="`gradient_checkpointing_enable` is deprecated")
    # peft sees of itself that the linear layers of GPT-2 lie transposed, that no CUDA builds what BOFT is faster with,
    # and that a norm is no linear layer.
    warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False but the target module is `Conv1D`")
    warnings.filterwarnings("ignore", message="Failed to load the CUDA extension")
    warnings.filterwarnings("ignore", message="Setting boft_n_butterfly_factor to 1")
    warnings.filterwarnings("ignore", message="Unsupported layer type .* encountered, proceed at your own risk")
    # peft counts places by itself where it puts learnt tokens before a text.
    warnings.filterwarnings("ignore", message="Position ids are not supported for parameter efficient tuning")
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
