"""Fisher's iris: 50 flowers of each of three species, four measurements in cm.

R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of
Eugenics 7 (1936). The values are Fisher's; the widespread UCI file differs from them in
rows 35 and 38.
"""

from pathlib import Path

import numpy as np

from scratchnet.data import Table
from scratchnet.data.tables import read_table

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
CLASSES = ("setosa", "versicolor", "virginica")


def load_iris() -> Table:
    """The 150 flowers, sorted by species: values (150, 4) in cm.

    They are part of the package.
    """
    columns = read_table(Path(__file__).with_suffix(".csv"), [*FEATURES, "species"], {"species": CLASSES}, ",")
    return Table(np.stack([columns[name] for name in FEATURES], 1), columns["species"], FEATURES, CLASSES)
