"""Data: from `[data]` of a recipe to a dataset version in the store, streamed.

prepare     the whole way               sources      opening what `data.source` names
scan        the first reading           text_files   CSV, TSV, JSONL        arrow_files   Parquet, datasets, the hub
labels      names and their indices     splits       seeded, stratified cuts
assignment  the split of every row
cautions    what a person should know   problems     what must be put right, all at once
tables      one readable table          targets      what its target column holds
tags        tags of words, as spans     words        lists of words and tags     column_files  CoNLL
cleaning    what is done to texts before they are stored
readers     which reads which target                            answers      texts as targets, and chats
groups      rows that stay together      relevance    of documents to queries
"""

from runner.data.prepare import PreparedData, check_data, find_data, prepare_data
from runner.data.problems import DataError

__all__ = ["DataError", "PreparedData", "check_data", "find_data", "prepare_data"]
