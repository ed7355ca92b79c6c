"""The studies: one file per classic network of the literature.

Each is run by `python -m scratchnet.train`.
"""
