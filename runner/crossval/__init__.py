"""Cross-validation: what a recipe's model thinks of each training example that it has not been trained on.

targets   what is judged: a label each, sets of labels, numbers, spans
plan      which fold holds out which examples, and what identifies all that
fold      one fold: trained on the others, it predicts what it holds out
said      what it says of that, as the store keeps it
aside     a training as any other, in a store of its own that is thrown away
carry_out all folds that are missing, one after the other; each is in the store when it is done
"""
