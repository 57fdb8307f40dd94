"""Triage: everything that can be found out about one dataset version, in steps, each in the store when it is done.

sources    which dataset, and which runs of it
context    what the steps share, read and fitted once
rows       the examples: texts, labels, metadata
dynamics   what runs said of their training examples, epoch by epoch, as risks
embedding  vectors of an encoder that has seen no label
heads      linear heads on them
voices     what heads think of the labels, and of a copy with canaries in it
steps      what is found out, step by step
carry_out  the steps that are missing, one after the other
summary    what came out, as JSON
"""
