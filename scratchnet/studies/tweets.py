"""Who wrote this tweet? A bag of words → 200 hidden ReLUs → one output per author.

Letters: N tweets, V words of the vocabulary, K authors. The presets:

    tutorial        a handful of tweets, or all of a small file; summed squared error on
                    rows of 0 and 1, Adam, one tweet at a time, 10 epochs; evaluated on
                    the tweets it was trained on, as such tutorials do
    tutorial-batch  the same with one step per epoch, for up to seven tweets at once
    default         cross entropy on all tweets, a stratified fifth of which is set
                    aside as the test; the settings were chosen by cross-validation on
                    the other four fifths

Source of the tutorial: "PyTorch: GPU-Accelerated Neural Networks in Python", a workshop
of the University of Southampton (FEEG6003), on seven tweets by a detective and a dog.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from scratchnet.backend.sparse import dense
from scratchnet.data.tweets import Tweets, Words, load_tweets, read_tweets
from scratchnet.data.words import SHORT_STOP_WORDS, STOP_WORDS
from scratchnet.engine.crossvalidation import CrossValidation
from scratchnet.engine.layers import Sequential
from scratchnet.engine.losses import CrossEntropyLoss, Loss, MSELoss
from scratchnet.engine.metrics import accuracy
from scratchnet.errors import SettingError
from scratchnet.files.atomic import atomic_write
from scratchnet.runs.run import Run
from scratchnet.runs.search import run_search
from scratchnet.studies import bags
from scratchnet.studies.bags import WordOptions, crossvalidate_texts, layers_of, need_enough, run_texts, tell, words_in
from scratchnet.studies.small import SmallOptions

SMALL = 50  # tweets: the presets of the tutorial train on all of a file of so many
HANDFUL = 3  # tweets of each author that they take of a larger one
MOST_PRINTED = 26  # words of a matrix of counts: its rows fit into 80 columns


@dataclass(frozen=True, kw_only=True)
class Options(WordOptions):
    """Train a network to tell who wrote a tweet, from the words alone.

    The presets:

    default: cross entropy; a stratified fifth of the tweets is set aside as the test,
    and the rest is cross-validated.

    tutorial: trains on all tweets of a small --csv (up to 50; otherwise on three of
    each author) and is judged on the same; one hidden layer of 200 ReLU, summed squared
    error, Adam, a step for every tweet, ten epochs. The stop words of a --csv are a
    shorter list here, without contractions. After a workshop of the University of
    Southampton, FEEG6003: its seven tweets give the 7 x 24 matrix of counts that it
    prints.

    tutorial-batch: the same with one step per epoch, for up to seven tweets at once.
    The losses that the workshop prints, .96 to .39 in ten epochs, are of this kind.
    """

    preset: Literal["default", "tutorial", "tutorial-batch"] = "default"
    """The network and recipe; it sets the defaults of all other options."""
    csv: Path | None = None
    """Your own tweets: UTF-8 CSV with columns author and text (default: built-in)."""
    called: ClassVar[tuple[str, str, str]] = ("tweet", "by", "author")
    advice: ClassVar[str] = (
        "give more, or fewer --folds, or --preset tutorial, which trains on all tweets of a small file"
    )

    @property
    def tutorial(self) -> bool:
        return self.preset != "default"

    def without_effect(self, study: str) -> dict[str, str]:
        found = super().without_effect(study)
        if self.tutorial:
            why = f"with --preset {self.preset}, which does not cross-validate"
            found |= dict.fromkeys(("folds", "scheduler"), why)
        return found


PRESETS = {
    "default": Options(
        epochs=5, batch_size=16, lr=0.004, hidden="200", optimizer="adam", schedule="cosine", dropout=0.5,
    ),
    "tutorial": Options(preset="tutorial", epochs=10, batch_size=1, lr=0.001, hidden="200", optimizer="adam"),
    "tutorial-batch": Options(
        preset="tutorial-batch", epochs=10, batch_size=7, lr=0.001, hidden="200", optimizer="adam",
    ),
}  # fmt: skip


def loss_of(o: SmallOptions) -> Loss:
    return CrossEntropyLoss() if o.preset == "default" else MSELoss("sum")


def networks() -> dict[str, tuple[Sequential, tuple[int, ...], Loss]]:
    """Every preset's network in float64, for 50 words and 2 authors, with its loss."""
    return {name: (Sequential(*layers_of(50, 2, o), dtype="float64"), (50,), loss_of(o)) for name, o in PRESETS.items()}


def load(o: Options) -> tuple[str, Tweets]:
    """(name of the data set, its tweets).

    Raises DataError if an author has too few for the preset.
    """
    name, tweets = (str(o.csv), read_tweets(o.csv)) if o.csv else ("the built-in tweets", load_tweets())
    if o.preset == "default":
        need_enough(name, tweets, o)
    return o.csv.stem if o.csv else "built-in", tweets


def lists_of(o: Options) -> dict[str, frozenset[str]]:
    """The names and stop words of the options, as `preprocess_words` takes them.

    Raises DataError for a bad file.
    """
    return bags.lists_of(o, SHORT_STOP_WORDS if o.tutorial and o.csv else STOP_WORDS)


def words_of(tweets: Tweets, o: Options) -> list[Words]:
    return words_in(tweets, o, lists_of(o))


def handful(tweets: Tweets, o: Options) -> tuple[np.ndarray, str]:
    """(the tweets that a tutorial trains on, which these are in words).

    They are all of a small file, and otherwise the first of each author.
    """
    if o.csv and len(tweets.texts) <= SMALL:
        return np.arange(
            len(tweets.texts)
        ), f"all {len(tweets.texts)} tweets of {o.csv} are trained on; none is set aside"
    chosen = [np.flatnonzero(tweets.labels == k)[:HANDFUL] for k in range(len(tweets.authors))]
    which = np.sort(np.concatenate(chosen))
    return which, f"{len(which)} of {len(tweets.texts)} tweets are trained on, the first {HANDFUL} of each author"


def tell_counts(result: Run, counts: np.ndarray, words: Sequence[str]) -> None:
    """Print the matrix of counts where it fits, and write it to counts.csv.

    The first row of that file holds the words.
    """
    counts = counts.astype(int)
    result.say(f"the counts of {counts.shape[1]} words in {len(counts)} tweets, (N, V) = {counts.shape}:")
    if counts.shape[1] <= MOST_PRINTED:
        rows = [", ".join(map(str, row)) for row in counts]
        result.say("[[" + "],\n [".join(rows) + "]]")
    if result.leads:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([words, *counts.tolist()])
        atomic_write(result.out / "counts.csv", text.getvalue().encode())
        result.say(f"written to {result.out}/: counts.csv\n")


def crossvalidate(study: str, o: Options) -> CrossValidation:
    """Cross-validate with these options, on the training part alone."""
    return crossvalidate_texts(load(o)[1], o)


def run(study: str, o: Options) -> int:
    """Cross-validate if default, train, test and report; returns the exit code."""
    if o.search and o.tutorial:
        raise SettingError(f"--search: preset {o.preset} has too few tweets to choose by; use preset default")
    dataset, tweets = load(o)
    if o.search:
        return run_search(study, o, dataset, f"by {o.folds}-fold cross-validation")
    return run_tutorial(study, o, dataset, tweets) if o.tutorial else run_texts(study, o, dataset, tweets)


def run_tutorial(study: str, o: Options, dataset: str, tweets: Tweets) -> int:
    """Train on a handful of tweets, and report on the same ones."""
    train, which = handful(tweets, o)
    found = bags.Bags(tweets, o, lists_of(o), train, train)
    with Run(study, o, dataset, found.identity()) as result:
        net = found.network()
        result.say(which)
        tell_counts(result, dense(found.counts(train)), found.known)
        net.summary((len(found.known),))
        _, y = found.fit(result, net, loss_of(o))
        first, last = (result.history.epochs[k]["train_loss"] for k in (0, -1))
        result.say(
            f"\nLoss from {first:.2f} in the first epoch to {last:.2f} in the last. What follows is about the "
            "tweets\nthat it was trained on: it shows that the network learns, not that it knows a new tweet."
        )
        right = accuracy(y, tweets.labels[train])
        result.metrics |= {"first_epoch_loss": first, "train_accuracy": right, "train_examples": len(train)}
        tell(result, net, y.argmax(1), found, "trained on")
        result.finish(net)
        return 0
