"""Benchmarks: one file per question; see README.md.

They need the repository, and the rivals that are to take part.
"""
