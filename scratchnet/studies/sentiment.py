"""Praise or blame? An LSTM reads a sentence word by word; a bag of words counts them.

Letters: N sentences, T words of a sentence, V words of the vocabulary, K = 2 classes.
The presets:

    default  many to one: the words as vectors that are learnt, an LSTM over them, and a
             Linear on its last state
    bag      which words occur, in no order → Linear, 100 → ReLU → Linear

A tenth of the sentences is the test, and a tenth of the others the validation by which
the settings were chosen; the vocabulary is that of the rest.

Sources: B. Pang and L. Lee, Seeing stars, ACL (2005), for the sentences; Y. Kim,
Convolutional neural networks for sentence classification, EMNLP (2014), table 2, for a
figure to compare: 76.1 % for word vectors that begin at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from scratchnet.data.sentences import (
    CLASSES,
    FIRST,
    LONGEST,
    PADDING,
    Sentences,
    as_counts,
    as_indices,
    load_sentences,
    vocabulary_of,
    words_of,
)
from scratchnet.engine.crossvalidation import stratified_split, take
from scratchnet.engine.layers import LSTM, Dropout, Embedding, Layer, Linear, ReLU, Sequential
from scratchnet.engine.losses import CrossEntropyLoss
from scratchnet.engine.metrics import accuracy, evaluate
from scratchnet.errors import DataError
from scratchnet.runs.identity import digests
from scratchnet.runs.options import CommonOptions, need
from scratchnet.runs.run import Run
from scratchnet.studies.per_class import say_confusion

TENTH = 0.1
SCALE = 0.1  # of the words' first vectors: from N(0, 1) the LSTM would learn more slowly


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Train a network to tell praise from blame, on 10,662 sentences of film reviews.

    The presets:

    default: an LSTM over the words, many to one. Its last state gives the answer.

    bag: a bag of words, one hidden layer of ReLU: it knows which words occur, but not
    their order.
    """

    preset: Literal["default", "bag"] = "default"
    """The network and recipe; it sets the defaults of all other options."""
    hidden: int
    """Hidden units: of the LSTM, or of the bag's hidden layer."""
    embedding: int = 50
    """Numbers in the vector of a word (preset default only)."""
    length: int = 30
    """Words of a sentence that the LSTM reads, the last ones of a longer sentence."""
    least: int = 1
    """Sentences in which a word must occur to be known."""
    dropout: float = 0.5
    """Share of the hidden units, and of the words' numbers, that a step leaves out."""

    def check(self) -> None:
        super().check()
        for name in ("hidden", "embedding", "length", "least"):
            need(getattr(self, name) >= 1, f"--{name}", "a number from 1", getattr(self, name))
        need(self.length <= LONGEST, "--length", f"a number from 1 to {LONGEST:,}", self.length)
        need(0 <= self.dropout < 1, "--dropout", "from 0 to below 1", self.dropout)

    def without_effect(self, study: str) -> dict[str, str]:
        found = super().without_effect(study)
        del found["data_dir"]
        if self.preset == "bag":
            found |= dict.fromkeys(("embedding", "length"), "with --preset bag, which has no order of words")
        return found


PRESETS = {
    "default": Options(epochs=5, batch_size=20, lr=0.004, hidden=50, optimizer="adam", schedule="cosine",
                       clip_norm=1.0, least=2, dropout=0.7),
    "bag": Options(preset="bag", epochs=3, batch_size=50, lr=0.001, hidden=100, optimizer="adam", schedule="cosine"),
}  # fmt: skip


def layers_of(V: int, o: Options) -> list[Layer]:
    """The layers of a preset's network, for V words."""
    K = len(CLASSES)
    if o.preset == "bag":
        return [Linear(V, o.hidden), ReLU(), Dropout(o.dropout), Linear(o.hidden, K)]
    embedding = Embedding(FIRST + V, o.embedding, padding_idx=PADDING)
    return [embedding, Dropout(o.dropout), LSTM(o.embedding, o.hidden), Dropout(o.dropout), Linear(o.hidden, K)]


def network(V: int, o: Options) -> Sequential:
    net = Sequential(*layers_of(V, o), seed=o.seed, dtype=o.dtype, device=o.device)
    if o.preset != "bag":
        net.params["0.weight"].value[...] *= SCALE
    return net


class Split(NamedTuple):
    """The numbers of the sentences of each part."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def split(labels: np.ndarray, seed: int) -> Split:
    """A stratified tenth for the test, and of the rest another for the validation.

    Raises DataError where a class has too few sentences for that.
    """
    if len(labels) == 0 or np.bincount(labels, minlength=len(CLASSES)).min() < 3:
        raise DataError("sentiment: each class needs at least three sentences: to train on, to validate, to test")
    rest, test = stratified_split(labels, TENTH, seed)
    train, valid = stratified_split(labels[rest], TENTH, seed + 1)
    return Split(rest[train], rest[valid], test)


def inputs(words: Sequence[Sequence[str]], vocabulary: Sequence[str], o: Options) -> Any:
    """Sentences as the preset's network takes them: indices, or counts."""
    return as_counts(words, vocabulary) if o.preset == "bag" else as_indices(words, vocabulary, o.length)


def run(study: str, o: Options) -> int:
    """Load, train, test and report; returns the exit code."""
    data = load_sentences(o.data_dir)
    parts = split(data.labels, o.seed)
    words = [words_of(text) for text in data.texts]
    vocabulary = vocabulary_of(take(words, parts.train), o.least)
    if not vocabulary:
        raise DataError(f"sentiment: no word occurs in {o.least} sentences: choose a smaller --least")
    with Run(study, o, "sentence-polarity", digests(texts=data.texts, labels=data.labels)) as result:
        net = network(len(vocabulary), o)
        given = {"length": o.length} if o.preset != "bag" else {}
        net.info |= {"classes": list(CLASSES), "input": {"sentence": o.preset, "words": vocabulary, **given}}
        net.summary((len(vocabulary),) if o.preset == "bag" else (o.length,))
        loss = CrossEntropyLoss()
        x = [inputs(take(words, part), vocabulary, o) for part in parts]
        labels = [data.labels[part] for part in parts]
        result.fit(net, loss, (x[0], labels[0]), (x[1], labels[1]))
        if not result.leads:  # one of several processes judges and writes
            return 0
        value, y = evaluate(net, loss, x[2], labels[2])
        counts = say_confusion(result, y.argmax(1), labels[2], CLASSES, "the test sentences")
        tell_examples(result, data, parts.test, y)
        result.metrics |= {
            "test_loss": value,
            "test_accuracy": accuracy(y, labels[2]),
            "per_class_accuracy": {name: float(counts[k, k] / counts[k].sum()) for k, name in enumerate(CLASSES)},
            "vocabulary": len(vocabulary),
        }
        if o.plots:
            from scratchnet.plots import studies as plots

            result.draw_training()
            result.picture("confusion", plots.confusion(counts, CLASSES))
        result.finish(net)
        return 0


def tell_examples(result: Run, data: Sentences, test: np.ndarray, y: np.ndarray) -> None:
    """Print the test sentences that the network is surest of, and its worst mistake."""
    result.say("")
    lead = y[:, 1] - y[:, 0]
    wrong = np.where(data.labels[test] == 1, -lead, lead)
    for what, k in (
        ("surest of praise", lead.argmax()),
        ("surest of blame", lead.argmin()),
        ("surest and wrong", wrong.argmax()),
    ):
        result.say(f"{what}: “{data.texts[test[k]]}”")
    result.say("")
