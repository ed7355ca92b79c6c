"""Whose words are these? A bag of words → hidden ReLUs → one output per class.

Letters: N texts, V words of the vocabulary, K classes. A stratified fifth of the texts
is set aside as the test, and the rest is cross-validated. What the studies of texts
differ in is where these come from, and what they are called.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from scratchnet.data.tweets import Tweets, Words, counts_of, make_numerical, preprocess_words, tokenise
from scratchnet.data.words import MARKS, NAMES, STOP_WORDS, read_words
from scratchnet.engine.crossvalidation import CrossValidation, stratified_split, take
from scratchnet.engine.layers import Layer, ReLU, Sequential
from scratchnet.engine.losses import CrossEntropyLoss, Loss
from scratchnet.engine.metrics import accuracy, evaluate
from scratchnet.engine.prediction import outputs
from scratchnet.engine.progress import many
from scratchnet.errors import DataError
from scratchnet.plots.style import drawable
from scratchnet.runs.identity import digests
from scratchnet.runs.run import Run
from scratchnet.studies.per_class import say_confusion
from scratchnet.studies.small import SmallOptions, cross_validate, hidden_layers, network

TEST_SHARE = 0.2
WORDS_SHOWN = 10  # number of words to show for each class
MOST_DRAWN = 24  # classes whose words are drawn


@dataclass(frozen=True, kw_only=True)
class WordOptions(SmallOptions):
    csv: Path | None = None
    """Your own texts: a UTF-8 CSV file whose first line names the columns."""
    keep_links: bool = False
    """Count links as words instead of dropping them."""
    stop_words: Path | None = None
    """Words to drop instead of the built-in list: a UTF-8 text file."""
    names: Path | None = None
    """Names not to stem, instead of the built-in list: a UTF-8 text file."""
    #: What a text is called, what joins it to its class, and what a class is called
    called: ClassVar[tuple[str, str, str]] = ("text", "of", "class")
    #: What to do if a class has too few texts
    advice: ClassVar[str] = "give more, or fewer --folds"


def layers_of(V: int, K: int, o: SmallOptions) -> list[Layer]:
    return hidden_layers(V, K, ReLU, o)


class Vocabulary:
    """The words of the training texts, and a function that counts them in any texts.

    This is a `prepare` for `crossval`.
    """

    def __init__(self, texts: list[Words], thing: str = "text") -> None:
        _, self.word_dict = make_numerical(texts)
        if not self.word_dict:
            raise DataError(f"no words are left of the {thing}s: they hold nothing but stop words and links")

    def __call__(self, texts: list[Words]) -> Any:
        return counts_of(texts, self.word_dict)


def need_enough(name: str, texts: Tweets, o: WordOptions) -> None:
    """Raise DataError if a class has too few texts for a test and the folds."""
    for label, n in zip(texts.authors, np.bincount(texts.labels).tolist(), strict=True):
        if n - max(1, round(TEST_SHARE * n)) < o.folds:
            raise DataError(
                f"{name}: {label} has {many(n, o.called[0])}, too few for a test split and {o.folds} folds: {o.advice}"
            )


def lists_of(o: WordOptions, stop_words: Collection[str] = STOP_WORDS) -> dict[str, frozenset[str]]:
    """The names and stop words of the options, as `preprocess_words` takes them.

    Raises DataError for a bad file.
    """
    return {
        "names": read_words(o.names, f"--names {o.names}") if o.names else frozenset(NAMES),
        "stop_words": read_words(o.stop_words, f"--stop-words {o.stop_words}") | MARKS
        if o.stop_words
        else frozenset(stop_words),
    }


def words_in(texts: Tweets, o: WordOptions, lists: dict[str, frozenset[str]]) -> list[Words]:
    return preprocess_words(tokenise(texts.texts), drop_links=not o.keep_links, **lists)


def crossvalidate_words(
    words: list[Words], labels: np.ndarray, K: int, o: WordOptions, run: Run | None = None
) -> CrossValidation:
    return cross_validate(lambda x: layers_of(x.shape[1], K, o), CrossEntropyLoss(), words, labels, Vocabulary, o, run)


def crossvalidate_texts(texts: Tweets, o: WordOptions) -> CrossValidation:
    """Cross-validate with these options, on the training part alone."""
    train, _ = stratified_split(texts.labels, TEST_SHARE, o.seed)
    words = words_in(texts, o, lists_of(o))
    return crossvalidate_words(take(words, train), texts.labels[train], len(texts.authors), o)


class Bags:
    """Texts in a training part and a test part, as bags of words, with a network."""

    def __init__(
        self, texts: Tweets, o: WordOptions, lists: dict[str, frozenset[str]], train: np.ndarray, test: np.ndarray
    ) -> None:
        self.o, self.texts, self.train, self.test = o, texts, train, test
        self.lists = {name: sorted(found) for name, found in lists.items()}
        self.words, self.K = words_in(texts, o, lists), len(texts.authors)
        self.vocabulary = Vocabulary(take(self.words, train), o.called[0])
        self.known = list(self.vocabulary.word_dict)

    def identity(self) -> dict[str, str]:
        """The digests of what a run is trained on."""
        authors = [self.texts.authors[k] for k in self.texts.labels]
        return digests(tweets=self.texts.texts, authors=authors, **self.lists)

    def network(self) -> Sequential:
        net = network(layers_of(len(self.known), self.K, self.o), self.o)
        about = {"words": self.known, "drop_links": not self.o.keep_links, **self.lists}  # see `text_to_input`
        net.info |= {"classes": self.texts.authors, "input": about}
        return net

    def counts(self, part: np.ndarray) -> Any:
        """How often each word is in each text of this part: (N, V)."""
        return self.vocabulary(take(self.words, part))

    def fit(self, result: Run, net: Sequential, loss: Loss) -> tuple[float, np.ndarray]:
        """Train; returns loss and outputs on the test part."""
        labels = self.texts.labels
        target = labels if loss.takes_labels else np.eye(self.K)[labels]
        result.fit(net, loss, (self.counts(self.train), target[self.train]))
        result.metrics["vocabulary"] = len(self.known)
        return evaluate(net, loss, self.counts(self.test), target[self.test])


def run_texts(study: str, o: WordOptions, dataset: str, texts: Tweets) -> int:
    """Cross-validate, train, test and report; returns the exit code."""
    bags = Bags(texts, o, lists_of(o), *stratified_split(texts.labels, TEST_SHARE, o.seed))
    labels = texts.labels
    with Run(study, o, dataset, bags.identity()) as result:
        net = bags.network()
        net.summary((len(bags.known),))
        crossvalidate_words(take(bags.words, bags.train), labels[bags.train], bags.K, o, result)
        value, y = bags.fit(result, net, CrossEntropyLoss())
        result.metrics |= {"test_loss": value, "test_accuracy": accuracy(y, labels[bags.test])}
        tell(result, net, y.argmax(1), bags, "the test")
        result.finish(net)
        return 0


def tell(result: Run, net: Sequential, predicted: np.ndarray, bags: Bags, which: str) -> None:
    """Print and draw which texts were recognised, and by which words."""
    labels, authors, words = bags.texts.labels[bags.test], bags.texts.authors, bags.known
    thing, by, whose = bags.o.called
    result.say("")
    counts = say_confusion(result, predicted, labels, authors, f"{thing}s: {which}")
    for k, name in enumerate(authors):
        result.say(f"Of the {counts[k].sum()} {thing}s {by} {name}, {counts[k, k]} were correctly identified.")
    telling = telling_words(net, words, authors)
    result.say(f"\nThe words that speak most for each {whose}, by the weights:")
    for name, best in telling.items():
        result.say(f"  {name}: {', '.join(word for word, _ in best)}")
    result.say("")
    result.metrics |= {
        "per_class_accuracy": {name: counts[k, k] / counts[k].sum() for k, name in enumerate(authors)},
        "telling_words": {name: [word for word, _ in best] for name, best in telling.items()},
    }
    if result.options.plots:
        draw(result, counts, authors, telling, thing, whose)


def telling_words(net: Sequential, words: list[str], authors: list[str]) -> dict[str, list[tuple[str, float]]]:
    """For each class, the words that speak most for it, with their weight.

    The weight is the output of the class for a text of that one word, minus the output
    for a text without words, minus the mean of the same for the other classes.
    """
    from scipy.sparse import eye_array

    y = outputs(net, eye_array(len(words), format="csr")) - outputs(net, np.zeros((1, len(words))))
    K = len(authors)
    lead = (y * K - y.sum(axis=1, keepdims=True)) / (K - 1)
    best = np.argsort(-lead, axis=0, kind="stable")[:WORDS_SHOWN].T
    return {name: [(words[i], float(lead[i, k])) for i in best[k] if lead[i, k] > 0] for k, name in enumerate(authors)}


def draw(
    result: Run, counts: np.ndarray, authors: list[str], telling: dict[str, list[tuple[str, float]]], thing: str,
    whose: str,
) -> None:  # fmt: skip
    """Draw the plots of a run."""
    from scratchnet.plots import studies as plots
    from scratchnet.plots.style import COLOURS, INK, new_figure, style

    judged = (("test", "test_accuracy"), ("cross-validated", "cv_accuracy"))
    result.draw_training(next(((name, result.metrics[key]) for name, key in judged if key in result.metrics), None))
    result.picture("confusion", plots.confusion(counts, [written(author) for author in authors]))
    telling = dict(list(telling.items())[:MOST_DRAWN])
    columns = min(3, len(telling))
    rows = -(-len(telling) // columns)
    fig = new_figure(f"The words that speak most for each {whose}",
                           f"Output of the network for a {thing} of that one word, against the other {plural(whose)}",
                           max(8.0, 3.9 * columns), 3.9 * rows)  # fmt: skip
    axes = np.atleast_1d(fig.subplots(rows, columns)).ravel()
    for k, (name, best) in enumerate(telling.items()):
        ax = style(axes[k], written(name), f"evidence for this {whose}")
        ax.barh(range(len(best)), [weight for _, weight in best], color=COLOURS[k % len(COLOURS)])
        ax.set_yticks(range(len(best)), [written(word) for word, _ in best], color=INK)
        ax.invert_yaxis()
        ax.grid(visible=False)
    for ax in axes[len(telling) :]:
        ax.set_visible(False)
    result.picture("words", fig)


def plural(word: str) -> str:
    return f"{word}{'es' if word.endswith('s') else 's'}"


def written(word: str) -> str:
    """A word as Matplotlib writes it, which would read formulas between dollars."""
    return drawable(word).replace("$", r"\$")
