"""A run's model for others: a folder that loads without Assay, its model card, and the way to a model hub.

plan         what is to be exported, checked before anything is loaded
export       the folder: written beside its place, its answers compared, moved there whole
formats      the two ways to write it             forms     pooling and head in the words of transformers
example      the lines that load it
card         the model card                       facts     what the store knows for it
card_data    its sections about data and limits   metadata  its front matter, as a model hub reads it
markdown     other people's text inside markdown
push         to a model hub
"""
