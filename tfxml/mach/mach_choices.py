"""The names of what MACH can choose between."""

# How the scores of repetitions combine.
ESTIMATORS = ("mean", "logit", "min", "median")
# How the best labels are found.
DECODES = ("auto", "exhaustive", "threshold")
