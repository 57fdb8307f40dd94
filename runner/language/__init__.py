"""Models that say tokens, and how texts go through them.

model       a backbone with the layer above that says tokens    apart        what it sees of a row: too much?
documents   whole texts as tokens                               gaps         tokens that are hidden in them
dialogues   prompts and answers as one text                     pairs        texts to read and texts to write
windows     stretches that a model reads at once                packing      several of them in one row
collators   rows as batches                                     likelihood   how likely each token is to a model
targets     those that examples teach                           generation   what a model writes by itself
pieces      what each token stands for in a text
"""
