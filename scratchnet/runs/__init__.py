"""One run of a study: its options, progress, checkpoints, processes and searches."""
