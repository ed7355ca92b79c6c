"""Benchmarks: one file per question. They need the repository, and rivals where installed; see README.md."""
