"""Airline passengers: monthly totals of international air travel, in thousands.

From January 1949 to December 1960. Series G of G. Box, G. Jenkins, "Time Series
Analysis: Forecasting and Control" (1970).
"""

from pathlib import Path

import numpy as np

from scratchnet.data.tables import read_table

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
FIRST_YEAR = 1949


def load_flights() -> np.ndarray:
    """The 144 months in chronological order, float64 (144,); part of the package."""
    columns = read_table(Path(__file__).with_suffix(".csv"), ["year", *MONTHS], delimiter=",")
    return np.stack([columns[month] for month in MONTHS], 1).ravel()
