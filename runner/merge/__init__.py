"""Models made of other runs' models: adapters combined, full fine-tunes combined, adapters folded into their base.

parent    one of the models, and the ways to combine them
plan      what is to be merged                         checks    what stands against it, before anything is loaded
combine   the model: base, adapters or weights, head   adapters  LoRA through peft
deltas    what full fine-tunes changed, tensor by tensor   heads     classification layers
run       runs of their own, evaluated on every split  scores    beside the scores of their parents, as text
"""
