"""Which examples of a data set hurt, and why: pure functions, arrays in, arrays and frames out.

Every risk is in [0, 1], higher = look here first, nan = not known.

- `findings`      the table of detectors: every kind of finding, what it needs, what to do about it
- `detection`     running them, and which of what they say are findings
- `inputs`        what detectors may look at
- `phrases`       findings in words
- `layout`        a map of the data: two coordinates an example
- `found`         what a detector hands back: a risk for each example, groups of examples, evidence
- `duplicates`    the same text again: copies, leaks between splits, contradictions
- `minhash`       near copies among many texts without comparing all pairs
- `garbage`       empty texts, placeholders, repetition, markup, texts cut off by max_length
- `damage`        text read with the wrong character set, lost characters; and how it was
- `language`      texts in another script or language than the rest
- `personal`      e-mail addresses, payment cards, social security and telephone numbers
- `leakage`       the label written into the input; words that give a class away
- `coverage`      outliers, and regions of held-out data with few training neighbours
- `regions`       parts of embedding space and their names
- `terms`         words that tell one group of texts from the rest
- `overlap`       examples on the boundary, classes that cannot be told apart
- `slices`        parts of the data in which the model is worse: metadata, length, region
- `rates`         one part of the data against the rest: rates and means, many parts at once
- `imbalance`     rare classes that the model pays for
- `drift`         whether the other splits are drawn from what the model was trained on
- `order`         whether examples could stand in any order of the file
- `shapley`       what each training example is worth to held-out ones
- `instructions`  answers that are empty, unfinished, copied, refused or in conflict; prompts with several instructions
- `tokens`        what each token of a target says of its example
- `spans`         wrong tag, shifted, missed and ghost spans of token classification
- `multilabel`    wrong labels where an example may have several
- `numbers`       numbers far from what a model says

Wrong labels: log_probs (n, n_classes) are natural logarithms of what a model thinks of examples whose label it has not
seen (out of fold), a row with nan = not known; given (n,) are the labels, -1 = none.
- `rows`          rows in blocks, and what the arrays must look like
- `dynamics`      what one training run says for free: margins, data-error potential, cartography, forgetting, loss
- `folds`         out-of-fold probabilities: which fold is whose, self-confidence, margin, confident joint
- `neighbours`    nearest neighbours in embedding space, and how they would label an example
- `members`       what words and letters alone say, out of fold: complement naive Bayes
- `linear`        what a linear model on embeddings says, out of fold
- `consensus`     what several voices think together, with weights that need no truth; how many doubt a label
- `channel`       how true labels turn into given ones, fitted without truth
- `tellable`      between which rates of wrong labels an opinion can tell, or whether it cannot
- `noise`         how many labels are wrong: in all, by class, by (given, likely) pair, with intervals
- `suggestions`   the label that an example should have, and how sure that is
- `voices`        listening to all of these, twice
- `canaries`      labels flipped on purpose: where would each score rank them?
- `comparison`    what each score is worth on this data, by canaries, and which one to sort by
- `yields`        how many errors a queue will yield after how many looks
- `audit`         all of these together: voices, consensus, canaries, the score to sort by, noise, yield, suggestions
- `stopping`      what decisions so far say of the rest: errors left, and when to stop
"""
