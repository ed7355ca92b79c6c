"""The example of a published tutorial: seven tweets and their matrix of counts.

Source: "PyTorch: GPU-Accelerated Neural Networks in Python", a workshop of the
University of Southampton (FEEG6003).
"""

import csv
from pathlib import Path

SEVEN = [
    ("disguised dog", "Woof woof I promise I'm not a dog"),
    ("detective constable", "ello ello ello you are my prime #suspect"),
    ("detective constable", "I may need your finger prints and your toe prints"),
    ("disguised dog", "Woof not guilty woof"),
    (
        "detective constable",
        "Does anyone have any information on the whereabouts of Mildred I need her toe print",
    ),
    ("disguised dog", "@cooldogs can I come play I will be good woof"),
    ("detective constable", "#best_detective needs to work hard to identify #suspect"),
]

PUBLISHED = [
    [2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1],
]


def write_seven(path: Path) -> str:
    """The tweets as a CSV file that `train tweets` takes."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("author", "text"), *SEVEN])
    return str(path)
