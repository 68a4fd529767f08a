"""What a stream with late labels teaches: one method a file, each with its derivation.

    phases.py     which rows each method learns from;  rows.py  what a method sees and says
    wait.py vanilla.py es_dfm.py fnw.py fnc.py defer.py
    arrival.py   how soon the labels of each row come, learned beside;  logistic_filter.py  how it is learned
    gdfm.py      what a cart says of a purchase to come; measured in benchmarks/learning, no setting of the trainer yet
    registry.py   method by name, with masks and sampling weights laid over it

Setting of all of them. Each impression gives one `observed` row at its observation window, positive if its label came
by then, a second, positive `corrected` row when the label comes later, and a `final` row once the attribution window
has closed. For one task and given x let

    p      the probability of a label within the attribution window: what is to be learned
    F      the share of labels that come within the observation window, at x; the delay curve's for all, or arrival.py's
    p_dp   p (1 - F), the probability of a late label

Per impression the rows are: observed positives p F, observed negatives 1 - p F, corrected positives p_dp. A task whose
attribution window is over when it is observed has F = 1, and each method must then be the plain log loss.
"""
