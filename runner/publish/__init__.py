"""A run's model for others: a folder that loads without Assay, its model card, and the way to a model hub.

kinds        what the models of each task are to others
plan         what is to be exported, checked before anything is loaded
export       the folder: written beside its place, its answers compared, moved there whole
formats      the ways to write a head             forms     pooling and head in the words of transformers
language     language models: one folder, with chat template and defaults of writing
example      the lines that load it               example_language  those of language models
questions    what it is asked                     comparison  whether it answers as the run's own model
card         the model card                       facts     what the store knows for it
card_data    its sections about data and limits   metadata  its front matter, as a model hub reads it
card_results its section about results            markdown  other people's text inside markdown
push         to a model hub
"""
