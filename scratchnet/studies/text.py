"""Texts of one's own in classes of one's own: `train text --csv FILE`.

Letters: N texts, V words of the vocabulary, K classes. It is what the study tweets does
by default, for any labels: praise or blame, topics, languages, authors.
"""

from dataclasses import dataclass
from typing import Literal

from scratchnet.data.tweets import Tweets, read_texts
from scratchnet.engine.crossvalidation import CrossValidation
from scratchnet.engine.layers import Sequential
from scratchnet.engine.losses import CrossEntropyLoss, Loss
from scratchnet.errors import SettingError
from scratchnet.runs.search import run_search
from scratchnet.studies.bags import WordOptions, crossvalidate_texts, layers_of, need_enough, run_texts


@dataclass(frozen=True, kw_only=True)
class Options(WordOptions):
    """Learn to tell in which class a text belongs, from the words alone.

    The classes are whatever stands in a column of your table: two or more. A stratified
    fifth of the texts is set aside as the test, and the rest is cross-validated.
    """

    preset: Literal["default"] = "default"
    """The network and recipe; it sets the defaults of all other options."""
    target: str = ""
    """The column of the classes; by default label or, of two columns, the other one."""
    text: str = ""
    """The column of the texts; by default text or, of two columns, the other one."""


PRESETS = {
    "default": Options(
        epochs=5, batch_size=16, lr=0.004, hidden="200", optimizer="adam", schedule="cosine", dropout=0.5,
    ),
}  # fmt: skip


def networks() -> dict[str, tuple[Sequential, tuple[int, ...], Loss]]:
    """The network in float64, for 50 words and 3 classes, with its loss."""
    o = PRESETS["default"]
    return {"default": (Sequential(*layers_of(50, 3, o), dtype="float64"), (50,), CrossEntropyLoss())}


def load(o: Options) -> Tweets:
    """The texts and their classes. Raises SettingError, DataError."""
    if o.csv is None:
        raise SettingError("text needs --csv FILE, your texts: a table with a column of texts and one of labels")
    texts = read_texts(o.csv, o.target, o.text)
    need_enough(str(o.csv), texts, o)
    return texts


def crossvalidate(study: str, o: Options) -> CrossValidation:
    """Cross-validate with these options, on the training part alone."""
    return crossvalidate_texts(load(o), o)


def run(study: str, o: Options) -> int:
    """Cross-validate, train, test and report; returns the exit code."""
    texts = load(o)
    assert o.csv is not None
    if o.search:
        return run_search(study, o, o.csv.stem, f"by {o.folds}-fold cross-validation")
    return run_texts(study, o, o.csv.stem, texts)
