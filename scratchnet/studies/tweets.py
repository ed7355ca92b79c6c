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
from typing import Any, Literal

import numpy as np

from scratchnet.backend.sparse import dense
from scratchnet.data.tweets import (
    Tweets,
    Words,
    counts_of,
    load_tweets,
    make_numerical,
    preprocess_words,
    read_tweets,
    tokenise,
)
from scratchnet.data.words import MARKS, NAMES, SHORT_STOP_WORDS, STOP_WORDS, read_words
from scratchnet.engine.crossvalidation import CrossValidation, stratified_split, take
from scratchnet.engine.layers import Layer, ReLU, Sequential
from scratchnet.engine.losses import CrossEntropyLoss, Loss, MSELoss
from scratchnet.engine.metrics import accuracy, evaluate
from scratchnet.engine.prediction import outputs
from scratchnet.engine.progress import many
from scratchnet.errors import DataError, SettingError
from scratchnet.files.atomic import atomic_write
from scratchnet.runs.identity import digests
from scratchnet.runs.run import Run
from scratchnet.runs.search import run_search
from scratchnet.studies.per_class import say_confusion
from scratchnet.studies.small import (
    SmallOptions,
    cross_validate,
    hidden_layers,
    network,
)

TEST_SHARE = 0.2
SMALL = 50  # tweets: the presets of the tutorial train on all of a file of so many
HANDFUL = 3  # tweets of each author that they take of a larger one
MOST_PRINTED = 26  # words of a matrix of counts: its rows fit into 80 columns
WORDS_SHOWN = 10  # number of words to show for each author


@dataclass(frozen=True, kw_only=True)
class Options(SmallOptions):
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
    keep_links: bool = False
    """Count links as words instead of dropping them."""
    stop_words: Path | None = None
    """Words to drop instead of the built-in list: a UTF-8 text file."""
    names: Path | None = None
    """Names not to stem, instead of the built-in list: a UTF-8 text file."""

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


def layers_of(V: int, K: int, o: SmallOptions) -> list[Layer]:
    return hidden_layers(V, K, ReLU, o)


def loss_of(o: SmallOptions) -> Loss:
    return CrossEntropyLoss() if o.preset == "default" else MSELoss("sum")


def networks() -> dict[str, tuple[Sequential, tuple[int, ...], Loss]]:
    """Every preset's network in float64, for 50 words and 2 authors, with its loss."""
    return {name: (Sequential(*layers_of(50, 2, o), dtype="float64"), (50,), loss_of(o)) for name, o in PRESETS.items()}


class Vocabulary:
    """The words of the training tweets, and a function that counts them in any tweets.

    This is a `prepare` for `crossval`.
    """

    def __init__(self, tweets: list[Words]) -> None:
        _, self.word_dict = make_numerical(tweets)
        if not self.word_dict:
            raise DataError("no words are left of the tweets: they hold nothing but stop words and links")

    def __call__(self, tweets: list[Words]) -> Any:
        return counts_of(tweets, self.word_dict)


def load(o: Options) -> tuple[str, Tweets]:
    """(name of the data set, its tweets).

    Raises DataError if an author has too few for the preset.
    """
    name, tweets = (str(o.csv), read_tweets(o.csv)) if o.csv else ("the built-in tweets", load_tweets())
    if o.preset == "default":
        for author, n in zip(tweets.authors, np.bincount(tweets.labels).tolist(), strict=True):
            if n - max(1, round(TEST_SHARE * n)) < o.folds:
                raise DataError(f"{name}: {author} has {many(n, 'tweet')}, too few for a test split and {o.folds} "
                                "folds: give more, or fewer --folds, or --preset tutorial, which "
                                "trains on all tweets of a small file")  # fmt: skip
    return o.csv.stem if o.csv else "built-in", tweets


def lists_of(o: Options) -> dict[str, frozenset[str]]:
    """The names and stop words of the options, as `preprocess_words` takes them.

    Raises DataError for a bad file.
    """
    stop_words = SHORT_STOP_WORDS if o.tutorial and o.csv else STOP_WORDS
    return {
        "names": read_words(o.names, f"--names {o.names}") if o.names else NAMES,
        "stop_words": read_words(o.stop_words, f"--stop-words {o.stop_words}") | MARKS if o.stop_words else stop_words,
    }


def words_of(tweets: Tweets, o: Options) -> list[Words]:
    return preprocess_words(tokenise(tweets.texts), drop_links=not o.keep_links, **lists_of(o))


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
    _, tweets = load(o)
    train, _ = stratified_split(tweets.labels, TEST_SHARE, o.seed)
    return _cross_validate(take(words_of(tweets, o), train), tweets.labels[train], len(tweets.authors), o)


def _cross_validate(
    words: list[Words], labels: np.ndarray, K: int, o: Options, run: Run | None = None
) -> CrossValidation:
    return cross_validate(lambda x: layers_of(x.shape[1], K, o), loss_of(o), words, labels, Vocabulary, o, run)


def run(study: str, o: Options) -> int:
    """Cross-validate if default, train, test and report; returns the exit code."""
    tutorial = o.tutorial
    if o.search and tutorial:
        raise SettingError(f"--search: preset {o.preset} has too few tweets to choose by; use preset default")
    dataset, tweets = load(o)
    if o.search:
        return run_search(study, o, dataset, f"by {o.folds}-fold cross-validation")
    words, K = words_of(tweets, o), len(tweets.authors)
    if tutorial:
        train, which = handful(tweets, o)
        test = train
    else:
        train, test = stratified_split(tweets.labels, TEST_SHARE, o.seed)
    vocabulary = Vocabulary(take(words, train))
    V, lists = len(vocabulary.word_dict), {name: sorted(found) for name, found in lists_of(o).items()}
    authors = [tweets.authors[k] for k in tweets.labels]
    with Run(study, o, dataset, digests(tweets=tweets.texts, authors=authors, **lists)) as result:
        net = network(layers_of(V, K, o), o)
        about = {"words": list(vocabulary.word_dict), "drop_links": not o.keep_links, **lists}  # see `text_to_input`
        net.info |= {"classes": tweets.authors, "input": about}
        if tutorial:
            result.say(which)
            tell_counts(result, dense(vocabulary(take(words, train))), list(vocabulary.word_dict))
        net.summary((V,))
        if not tutorial:
            _cross_validate(take(words, train), tweets.labels[train], K, o, result)
        loss = loss_of(o)
        target = tweets.labels if loss.takes_labels else np.eye(K)[tweets.labels]
        result.fit(net, loss, (vocabulary(take(words, train)), target[train]))
        value, y = evaluate(net, loss, vocabulary(take(words, test)), target[test])
        right = accuracy(y, tweets.labels[test])
        if tutorial:
            first, last = (result.history.epochs[k]["train_loss"] for k in (0, -1))
            result.say(
                f"\nLoss from {first:.2f} in the first epoch to {last:.2f} in the last. What follows is about the "
                "tweets\nthat it was trained on: it shows that the network learns, not that it knows a new tweet."
            )
            result.metrics |= {"first_epoch_loss": first, "train_accuracy": right, "train_examples": len(train)}
        else:
            result.metrics |= {"test_loss": value, "test_accuracy": right}
        result.metrics["vocabulary"] = V
        tell(result, net, y.argmax(1), tweets.labels[test], tweets.authors, list(vocabulary.word_dict))
        result.finish(net)
        return 0


def tell(
    result: Run, net: Sequential, predicted: np.ndarray, labels: np.ndarray, authors: list[str], words: list[str]
) -> None:
    """Print and draw whose tweets were recognised, and by which words."""
    which = "the test" if result.options.preset == "default" else "trained on"
    result.say("")
    counts = say_confusion(result, predicted, labels, authors, f"tweets: {which}")
    for k, name in enumerate(authors):
        result.say(f"Of the {counts[k].sum()} tweets by {name}, {counts[k, k]} were correctly identified.")
    telling = telling_words(net, words, authors)
    result.say("\nThe words that speak most for each author, by the weights:")
    for name, best in telling.items():
        result.say(f"  {name}: {', '.join(word for word, _ in best)}")
    result.say("")
    result.metrics |= {
        "per_class_accuracy": {name: counts[k, k] / counts[k].sum() for k, name in enumerate(authors)},
        "telling_words": {name: [word for word, _ in best] for name, best in telling.items()},
    }
    if result.options.plots:
        draw(result, counts, authors, telling)


def telling_words(net: Sequential, words: list[str], authors: list[str]) -> dict[str, list[tuple[str, float]]]:
    """For each author, the words that speak most for them, with their weight.

    The weight is the author's output for a tweet of that one word, minus the output for
    a tweet without words, minus the mean of the same for the other authors.
    """
    from scipy.sparse import eye_array

    y = outputs(net, eye_array(len(words), format="csr")) - outputs(net, np.zeros((1, len(words))))
    K = len(authors)
    lead = (y * K - y.sum(axis=1, keepdims=True)) / (K - 1)
    best = np.argsort(-lead, axis=0, kind="stable")[:WORDS_SHOWN].T
    return {name: [(words[i], float(lead[i, k])) for i in best[k] if lead[i, k] > 0] for k, name in enumerate(authors)}


def draw(result: Run, counts: np.ndarray, authors: list[str], telling: dict[str, list[tuple[str, float]]]) -> None:
    """Draw the plots of a run."""
    from scratchnet.plots import studies as plots
    from scratchnet.plots.style import COLOURS, INK, new_figure, style

    judged = (("test", "test_accuracy"), ("cross-validated", "cv_accuracy"))
    result.draw_training(next(((name, result.metrics[key]) for name, key in judged if key in result.metrics), None))
    result.picture("confusion", plots.confusion(counts, [drawable(author) for author in authors]))
    columns = min(3, len(authors))
    rows = -(-len(authors) // columns)
    fig = new_figure("The words that speak most for each author",
                           "Output of the network for a tweet of that one word, against the other authors",
                           max(8.0, 3.9 * columns), 3.9 * rows)  # fmt: skip
    axes = np.atleast_1d(fig.subplots(rows, columns)).ravel()
    for k, (name, best) in enumerate(telling.items()):
        ax = style(axes[k], drawable(name), "evidence for this author")
        ax.barh(range(len(best)), [weight for _, weight in best], color=COLOURS[k % len(COLOURS)])
        ax.set_yticks(range(len(best)), [drawable(word) for word, _ in best], color=INK)
        ax.invert_yaxis()
        ax.grid(visible=False)
    for ax in axes[len(telling) :]:
        ax.set_visible(False)
    result.picture("words", fig)


def drawable(word: str) -> str:
    """A word that Matplotlib's font can write: emoji by their names."""
    import unicodedata

    return "".join(c if ord(c) < 0x2000 else f"[{unicodedata.name(c, '?').lower()}]" for c in word).replace("$", r"\$")
