"""The studies by name."""

import importlib
from types import ModuleType

from scratchnet.cli import known

#: study → (module, description); a module is imported only when its study is wanted
STUDIES = {
    "mnist": ("mnist", "handwritten digits, 60,000 + 10,000 images of 28 x 28; the main job"),
    "fashion-mnist": ("mnist", "the same networks on pictures of clothes"),
    "cifar10": ("cifar10", "colour pictures of airplanes, birds, cats, ships, ...; 50,000 + 10,000 of 32 x 32"),
    "cifar100": ("cifar10", "the same networks on a hundred kinds of things, or on their twenty groups"),
    "digits": ("mnist", "handwritten-style digits that this project draws itself: needs no download"),
    "wheat": ("tables", "three kinds of wheat from seven measurements of a grain, by cross-validation"),
    "iris": ("tables", "Fisher's irises: three species from four measurements of a flower; needs no download"),
    "table": ("table", "a column of your own table (--csv, --target): classes or values, by cross-validation"),
    "images": ("images", "your own pictures (--folder): a sub-folder for each class"),
    "tweets": ("tweets", "who wrote this tweet? words to counts to author; needs no download, but the package nltk"),
    "text": ("text", "your own texts (--csv), in two or more classes of any kind; needs the package nltk"),
    "waveforms": ("waveforms", "radar echoes from a satellite: land or water, and how high are the waves?"),
    "flights": ("flights", "144 months of airline passengers: forecast a year with an LSTM; needs no download"),
    "adding": ("memory", "what an RNN and an LSTM remember: the sum of two marked numbers of a long sequence"),
    "copy": ("memory", "what an RNN and an LSTM remember: symbols to be repeated after a gap"),
    "sentiment": ("sentiment", "praise or blame? an LSTM over the words of 10,662 sentences, beside a bag of words"),
    "chars": ("chars", "an LSTM learns to continue a text, sonnets or one of your own, and writes"),
}


def study_module(study: str) -> ModuleType:
    """The module of a study; raises SettingError with a suggestion if there is none."""
    return importlib.import_module(f"scratchnet.studies.{STUDIES[known(study, list(STUDIES), 'study')][0]}")
