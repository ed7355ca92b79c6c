"""Every number of a network with its formula, the numbers in it, and the line of the engine that computes it.

`numbers.py` gives the formula of any number of a trace; `lesson.py` and the files beside it
put formulas together to what `python -m scratchnet.explain` shows.
"""
