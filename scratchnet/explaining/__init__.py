"""Every number of a network with its formula, and the line of the engine that computes
it.

`numbers.py` gives the formula of any number of a trace, with the numbers in it;
`lesson.py` and the files beside it put formulas together into what `python -m
scratchnet.explain` shows.
"""
