"""The studies: one file per classic network of the literature, each run by `python -m scratchnet.train`."""
