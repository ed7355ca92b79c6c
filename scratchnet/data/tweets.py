"""Tweets to vectors of word counts, in steps that each work on their own.

There are two sources of tweets: a built-in corpus, and a CSV file. Letters: N tweets, V
words of the vocabulary. A tweet is first a text, then a list of words, then a list of
the numbers of those words, then a vector of V counts. A model that tells who wrote a
tweet sees nothing else of it (a bag of words).

>>> text = "The ships! The ships are sinking, @CaptainOlsen"
>>> words = preprocess_words(tokenise([text]))
>>> words
[['ship', 'ship', 'sink', '@CaptainOlsen']]
>>> vectors, word_dict = make_numerical(words)
>>> count_words(vectors, len(word_dict))
array([[2., 1., 1.]], dtype=float32)
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchnet.data import outline
from scratchnet.data.texts import content_of, parse
from scratchnet.data.words import NAMES, STOP_WORDS
from scratchnet.errors import DataError, ScratchnetError, install_command

Words = list[str]


class MissingPackage(ScratchnetError, ImportError):
    """A package is missing that only some of the studies need."""


def _nltk(module: str) -> Any:
    """A module of NLTK, imported only when it is needed, which takes two seconds."""
    import importlib

    try:
        return importlib.import_module(f"nltk.{module}")
    except ImportError as e:
        raise MissingPackage(f"tweets need the package nltk ({e}): {install_command('text')}") from None


# ------------------------------------------------------------- from texts to words


def tokenise(texts: Iterable[str]) -> list[Words]:
    """Texts to lists of words.

    A @handle, #hashtag, link, emoji or :-) is one word, and a punctuation mark is a
    word of its own. Needs no downloaded data. Raises MissingPackage without NLTK.
    Source: `TweetTokenizer` of NLTK, S. Bird, E. Klein and E. Loper, Natural Language
    Processing with Python (2009).
    """
    tokenizer = _nltk("tokenize").TweetTokenizer()
    return [tokenizer.tokenize(text) for text in texts]


_LINK = re.compile(r"(?:https?://|www\.)\S+|\S+\.(?:com|org|net)/\S*", re.IGNORECASE)


def preprocess_words(
    tweets: Iterable[Sequence[str]],
    names: Collection[str] = NAMES,
    stop_words: Collection[str] = STOP_WORDS,
    drop_links: bool = False,
) -> list[Words]:
    """Drop stop words from lists of words, and stem the other words.

    A word is a stop word if its lower-case form is one. Stemming (`sinking`, `sinks` to
    `sink`) also turns words to lower case; @handles, #hashtags and the words in `names`
    stay exactly as they are. Raises MissingPackage without NLTK. Source: M. Porter,
    Snowball: a language for stemming algorithms (2001), the English stemmer.
    """
    stem: Callable[[str], str] = _nltk("stem.snowball").SnowballStemmer("english").stem
    dropped, keep = {_plain(word) for word in stop_words}, set(names)
    known: dict[str, str] = {}  # a word is stemmed only once
    result = []
    for tweet in tweets:
        words = []
        for word in tweet:
            if _plain(word) in dropped or (drop_links and _LINK.fullmatch(word)):
                continue
            if word not in known:
                known[word] = word if word[:1] in ("@", "#") or word in keep else stem(word)
            words.append(known[word])
        result.append([word for word in words if word])
    return result


def _plain(word: str) -> str:
    """Lower case, and with a typewriter's apostrophe."""
    return word.lower().replace("’", "'")


# ------------------------------------------------------------ from words to counts


def make_numerical(tweets: Iterable[Sequence[str]]) -> tuple[list[list[int]], dict[str, int]]:
    """Lists of words to lists of numbers, and the number of each word.

    Words are numbered 0, 1, ... in order of first appearance.
    """
    word_dict: dict[str, int] = {}
    vectors = [[word_dict.setdefault(word, len(word_dict)) for word in tweet] for tweet in tweets]
    return vectors, word_dict


def count_words(vectors: Sequence[Any], n_words: int, sparse: bool = False) -> Any:
    """How often each of the `n_words` words occurs.

    [5, 0, 3, 3, 7] over 8 words becomes [1, 0, 0, 2, 0, 1, 0, 1]. For one list of
    numbers the array is (V,), for a list of N of them (N, V), float32; with `sparse` it
    is a SciPy CSR array, which stores only the counts that are not 0. Raises DataError
    for a number outside 0 ... V − 1.
    """
    if len(vectors) and isinstance(vectors[0], (int, np.integer)):
        return count_words([vectors], n_words)[0]
    lengths = [len(vector) for vector in vectors]
    words = np.fromiter((word for vector in vectors for word in vector), np.int64, sum(lengths))
    if words.size and not (words.min() >= 0 and words.max() < n_words):
        wrong = words[(words < 0) | (words >= n_words)][0]
        raise DataError(f"count_words: word number {wrong} is outside 0 to {n_words - 1}")
    tweet = np.repeat(np.arange(len(vectors)), lengths)
    if sparse:
        from scipy.sparse import coo_array

        ones = np.ones(len(words), np.float32)
        return coo_array((ones, (tweet, words)), shape=(len(vectors), n_words)).tocsr()  # adds up repeated entries
    counts = np.zeros((len(vectors), n_words), np.float32)
    np.add.at(counts, (tweet, words), 1)
    return counts


SPARSE_FROM = 1_000  # words; with more, a row of counts is nearly all zeros and CSR is smaller and faster


def counts_of(tweets: Iterable[Sequence[str]], word_dict: dict[str, int]) -> Any:
    """(N, V) counts of the known words: CSR if V is large.

    Words that are not in `word_dict` are ignored.
    """
    vectors = [[word_dict[word] for word in tweet if word in word_dict] for tweet in tweets]
    return count_words(vectors, len(word_dict), sparse=len(word_dict) >= SPARSE_FROM)


def text_to_input(
    text: str,
    words: Sequence[str],
    drop_links: bool = True,
    names: Collection[str] = NAMES,
    stop_words: Collection[str] = STOP_WORDS,
) -> np.ndarray:
    """(1, V): a text as the input of a network that was trained on these words.

    It goes through the same steps, with the `drop_links`, `names` and `stop_words` of
    the training. Raises DataError if it holds none of the words: the network would only
    tell its default author.
    """
    number = {word: k for k, word in enumerate(words)}
    (found,) = preprocess_words(tokenise([text]), names, stop_words, drop_links)
    known = [number[word] for word in found if word in number]
    if not found:
        raise DataError("the text holds nothing but stop words, marks and links: there is nothing to tell an author by")
    if not known:
        more = ", ..." if len(found) > 5 else ""
        shown = ", ".join(word if len(word) <= 30 else word[:30] + "..." for word in found[:5])
        raise DataError(
            f"no word of the text is known to the network, not {shown}{more}: "
            f"it knows the {len(words):,} words of the tweets that it was trained on"
        )
    return np.asarray(count_words([known], len(words)))


# ------------------------------------------------------------------------- corpora


class Tweets(NamedTuple):
    """N texts, the number of each one's author (N,), and the names of the authors.

    Authors are numbered in order of first appearance.
    """

    texts: list[str]
    labels: np.ndarray
    authors: list[str]

    def __repr__(self) -> str:
        return outline(self)


def load_tweets() -> Tweets:
    """The built-in corpus: a grumpy lighthouse and an over-excited sourdough starter.

    It was written for this project, and the two were written to be told apart. An
    accuracy on them says how learnable this corpus is, not how well the network would
    do on other tweets.
    """
    content = resources.files("scratchnet.data").joinpath("tweets.csv").read_bytes()
    return Tweets(*parse(content, "the built-in tweets", "author", "text"))


def read_tweets(path: str | Path) -> Tweets:
    """Tweets from a CSV file in UTF-8 with the columns `author` and `text`.

    Other columns and empty rows are skipped. Raises DataError, with the row as a
    spreadsheet counts it (the header is row 1), for bytes that are not UTF-8, missing
    columns, a row without an author, quotes that do not close, or fewer than two
    authors.
    """
    return Tweets(*parse(content_of(path), str(path), "author", "text"))


def read_texts(path: str | Path, target: str = "", text: str = "") -> Tweets:
    """Texts and their classes from the columns `target` and `text` of a CSV file.

    Without names, these are the columns `label` and `text`, or of two columns the one
    and the other. Commas, semicolons and tabulators are told apart by the first line.
    Raises what `read_tweets` raises.
    """
    content = content_of(path)
    first = content.partition(b"\n")[0]
    return Tweets(*parse(content, str(path), target, text, "texts", max(",;\t", key=lambda c: first.count(c.encode()))))
