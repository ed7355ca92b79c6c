"""Wheat seeds: 70 grains of each of three kinds, seven measurements of their shape.

M. Charytanowicz et al., "Complete gradient clustering algorithm for features analysis
of X-ray images" (2010); UCI Machine Learning Repository,
https://doi.org/10.24432/C5H30K, CC BY 4.0.
"""

from pathlib import Path

import numpy as np

from scratchnet.data import Table
from scratchnet.data.fetch import Remote, find
from scratchnet.data.tables import read_table

FEATURES = ("area", "perimeter", "compactness", "length", "width", "asymmetry", "groove")
CLASSES = ("Kama", "Rosa", "Canadian")
FILE = Remote(
    "seeds_dataset.txt",
    9300,
    "sha256:1f3f83c0d8485ae9148061389d19628607e3f5660e3d6f40ec9102fb398bb12f",
    (
        "https://archive.ics.uci.edu/static/public/236/seeds.zip",
        "https://archive.ics.uci.edu/ml/machine-learning-databases/00236/seeds_dataset.txt",
        "https://raw.githubusercontent.com/AdamStelmaszczyk/edami/master/seeds_dataset.txt",
    ),
)


def load_wheat(data_dir: str | Path | None = None) -> Table:
    """The 210 grains: values (210, 7), lengths in mm and areas in mm².

    The file is sorted by kind, so shuffle it. Looks in `data_dir`,
    $SCRATCHNET_DATA/wheat-seeds and the cache, then downloads; see `fetch` for the
    errors.
    """
    (path,) = find("wheat-seeds", [FILE], data_dir)
    columns = read_table(path, [*FEATURES, "kind"], {"kind": ("1", "2", "3")})  # one or two tabs separate fields
    return Table(np.stack([columns[name] for name in FEATURES], 1), columns["kind"], FEATURES, CLASSES)
