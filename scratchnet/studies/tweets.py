"""Who wrote this tweet? A bag of words → 200 hidden ReLUs → one output per author.

Letters: N tweets, V words of the vocabulary, K authors. The presets:

    tutorial  a handful of tweets, three of each author; summed squared error on rows of
              0 and 1, Adam, one tweet at a time, 10 epochs; evaluated on the tweets it
              was trained on, as such tutorials do
    default   cross entropy on all tweets, a stratified fifth of which is set aside as
              the test; the settings were chosen by cross-validation on the other four
              fifths
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

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
from scratchnet.engine.crossvalidation import CrossValidation, stratified_split, take
from scratchnet.engine.layers import Layer, ReLU, Sequential
from scratchnet.engine.losses import CrossEntropyLoss, Loss, MSELoss
from scratchnet.engine.metrics import accuracy, evaluate, outputs
from scratchnet.errors import DataError, SettingError
from scratchnet.runs.identity import digests
from scratchnet.runs.progress import many
from scratchnet.runs.run import Run
from scratchnet.studies.small import (
    SmallOptions,
    cross_validate,
    hidden_layers,
    network,
    run_search,
    say_confusion,
)

TEST_SHARE = 0.2
HANDFUL = 3  # tweets of each author in the preset tutorial
WORDS_SHOWN = 10  # number of words to show for each author


@dataclass(frozen=True, kw_only=True)
class Options(SmallOptions):
    """Train a network to tell who wrote a tweet, from the words alone."""

    preset: Literal["default", "tutorial"] = "default"
    """The network and recipe; it sets the defaults of all other options."""
    csv: Path | None = None
    """A CSV file of your own tweets, in UTF-8, with the columns author and text; by
    default those of two invented accounts.
    """
    keep_links: bool = False
    """Count links as words instead of dropping them."""

    def without_effect(self, study: str) -> dict[str, str]:
        found = super().without_effect(study)
        if self.preset == "tutorial":
            found |= dict.fromkeys(("folds", "scheduler"), "with --preset tutorial, which does not cross-validate")
        return found


PRESETS = {
    "default": Options(
        epochs=5, batch_size=16, lr=0.004, hidden="200", optimizer="adam", schedule="cosine", dropout=0.5,
    ),
    "tutorial": Options(preset="tutorial", epochs=10, batch_size=1, lr=0.001, hidden="200", optimizer="adam"),
}  # fmt: skip


def layers_of(V: int, K: int, o: SmallOptions) -> list[Layer]:
    return hidden_layers(V, K, ReLU, o)


def loss_of(o: SmallOptions) -> Loss:
    return MSELoss("sum") if o.preset == "tutorial" else CrossEntropyLoss()


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
                                "folds: give more, or fewer --folds")  # fmt: skip
    return o.csv.stem if o.csv else "built-in", tweets


def words_of(tweets: Tweets, o: Options) -> list[Words]:
    return preprocess_words(tokenise(tweets.texts), drop_links=not o.keep_links)


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
    tutorial = o.preset == "tutorial"
    if o.search and tutorial:
        raise SettingError("--search: preset tutorial has too few tweets to choose by; use preset default")
    dataset, tweets = load(o)
    if o.search:
        return run_search(study, o, dataset)
    words, K = words_of(tweets, o), len(tweets.authors)
    if tutorial:
        train = test = np.sort(np.concatenate([np.flatnonzero(tweets.labels == k)[:HANDFUL] for k in range(K)]))
    else:
        train, test = stratified_split(tweets.labels, TEST_SHARE, o.seed)
    vocabulary = Vocabulary(take(words, train))
    V = len(vocabulary.word_dict)
    with Run(
        study, o, dataset, digests(tweets=tweets.texts, authors=[tweets.authors[k] for k in tweets.labels])
    ) as result:
        net = network(layers_of(V, K, o), o)
        net.info |= {
            "classes": tweets.authors,
            "input": {"words": list(vocabulary.word_dict), "drop_links": not o.keep_links},  # see `text_to_input`
        }
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
            result.metrics |= {"first_epoch_loss": first, "train_accuracy": right}
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
    which = "trained on" if result.options.preset == "tutorial" else "the test"
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
    from scratchnet.plots.style import COLOURS, INK, new_figure, save, style

    paths = [result.out / f"{name}.png" for name in ("training", "confusion", "words")]
    plots.loss_and_accuracy(result.history, paths[0])
    plots.confusion(counts, [drawable(author) for author in authors], paths[1])
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
    save(fig, paths[2])
    result.pictures += paths


def drawable(word: str) -> str:
    """A word that Matplotlib's font can write: emoji by their names."""
    import unicodedata

    return "".join(c if ord(c) < 0x2000 else f"[{unicodedata.name(c, '?').lower()}]" for c in word).replace("$", r"\$")
