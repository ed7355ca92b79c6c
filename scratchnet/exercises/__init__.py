"""Exercises: write backpropagation yourself, one small file after another.

Each file in texts/ has a lesson and functions to fill in. The package holds no
solutions: an answer is judged by the definition that its lesson gives, computed by the
engine, and by differences of the loss.
"""
