"""Models made of other runs' models: adapters combined, full fine-tunes combined, adapters folded into their base.

plan      what is to be merged, checked before anything is loaded
combine   the model: base, adapters or weights, head       adapters  LoRA through peft
deltas    what full fine-tunes changed, tensor by tensor   heads     classification layers
run       a run of its own, evaluated on every split
"""
