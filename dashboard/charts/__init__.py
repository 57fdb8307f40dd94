"""Pure functions `frame → alt.Chart` that check their columns (Altair draws an empty chart for a missing one).

curves    metrics and the machine       classes   the confusion matrix       example   one over checkpoints
search    a sweep's progress, trade-offs          parallel  its trials as lines over its parameters
flight    the last steps                counts    bars                       palette   colours, and the check of columns
lengths   a histogram of them
triage    wrong labels by pair, what a queue yields           data_map  every example, with a lasso
numbers   predicted against given
"""
