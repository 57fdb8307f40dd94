"""Pure statistics: arrays and frames in, arrays and frames out. No SQL, no torch, no streamlit, no I/O.

- `intervals`       Wilson, percentile bootstrap and its p-value, mean ± t interval over seeds
- `f1`              F1 from counts of (gold, predicted), of one sample or of a thousand resamples at once
- `calibration`     expected calibration error with an interval that respects its bias
- `metrics`         the table of metrics: unit, direction, ends; which task has which
- `resampling`      bootstrap over examples for whatever is a function of sums
- `classification`  scores with intervals, confusion matrix, class table, predictions
- `tags`            BIO, BIOES, BILOU: checked, read as spans, written
- `entities`        precision, recall and F1 of entities, over all and type by type
- `multilabel`      examples with any number of labels: scores, thresholds, the table of labels
- `regression`      numbers: correlations, errors, R²
- `ranking`         candidates ranked for queries: MRR, nDCG, MAP, ties handled fairly
- `language`        loss a token, perplexity, bits a byte
- `answers`         exact match and token F1 with one or more right answers
- `generated`       texts against references: ROUGE, BLEU, chrF
- `paired`          two models on the same examples: flips, exact McNemar, paired differences, Holm
- `paired_classes`  the same class by class: of each one, how many more are found
- `paired_sums`     the same for whatever is a function of sums over examples, by a paired bootstrap
- `outcomes`        what a model said where no class says it, as arrays: sets, numbers, spans, texts
- `paired_outcomes` two models of such a task: every metric with its interval and its test
- `verdict`         better, not better, not separable yet (needs about n more examples); the headline
- `dynamics`        how logits seen in training are packed, and what a stack of epochs says of each example
- `curves`          thinning and smoothing of metric curves for a chart
- `alerts`          when a training goes wrong: spike, divergence, over-fitting, stall, slow data, full disk
- `search`          the best so far over trials, and the Pareto front of several objectives
- `seeds`           which configurations can be told from the best, and how many seeds that takes
- `leaders`         the best of a search, which of them may be the best one, what it would take to know
- `importance`      which parameters of a search mattered: permutation importance on held-out trials
- `profile`         a data set before training: lengths, words, targets, copies
- `memory`          what a training step takes: weights, gradients, optimizer states, activations

Unknown is nan, never 0.
"""
