"""Triage: everything that can be found out about one dataset version, in steps, each in the store when it is done.

sources    which dataset, and which runs of it
identity   what it looks at, and how: two that are equal say the same
context    what the steps share, read and fitted once
rows       the examples: texts, labels, metadata
dynamics   what runs said of their training examples, epoch by epoch, as risks
embedding  vectors of an encoder that has seen no label
heads      linear heads on them
spans      sentences with spans, and what models said of those that they were not trained on
judged     the same of sets of labels and numbers
doubts     how doubtful each of these is
answers    prompts and answers, and how likely runs find their tokens
voices     what heads think of the labels, and of a copy with canaries in it
steps      what is found out, step by step
carry_out  the steps that are missing, one after the other
summary    what came out, as JSON
sentences  what came out, in words
conditions what must not be so, as it is written
gates      whether it is so
junit      for CI systems
report     one HTML file, for people
report_style how it looks
after      by itself, after a training
"""
