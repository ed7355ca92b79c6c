"""Sentences of film reviews, each praise or blame: 5,331 of either kind.

B. Pang and L. Lee, Seeing stars: exploiting class relationships for sentiment
categorization with respect to rating scales, ACL (2005): "sentence polarity dataset
v1.0", CC BY 4.0. Latin-1, lower case, one sentence a line; lines end in LF alone, since
some sentences hold other characters that Python takes for ends of lines.

Letters: N sentences, V words of the vocabulary, T words of a sentence.
"""

import io
import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchnet.data import outline
from scratchnet.data.fetch import Remote, find, local_folder
from scratchnet.data.inflate import inflate
from scratchnet.errors import DataError
from scratchnet.files.reading import open_regular

CLASSES = ("negative", "positive")
LARGEST = 1 << 24  # bytes of a file, and of the unpacked archive; the published ones have one million
ARCHIVE = "rt-polaritydata.tar.gz"
MIRROR = "https://raw.githubusercontent.com/yoonkim/CNN_sentence/23e0e1f7355705bb083043fda05c031b15acb38c"
FILES = (
    Remote(
        "rt-polarity.neg",
        612256,
        "sha256:4ace77d558c3714723843f1d65b60c01e3417b208180f0728808d76ad0eeeaca",
        (f"{MIRROR}/rt-polarity.neg", "https://raw.githubusercontent.com/yoonkim/CNN_sentence/master/rt-polarity.neg"),
    ),
    Remote(
        "rt-polarity.pos",
        626139,
        "sha256:2da124ec187a9d5a29c9f04e91c540e02baed5af8868f550a26bd6fd4dbf8bf0",
        (f"{MIRROR}/rt-polarity.pos", "https://raw.githubusercontent.com/yoonkim/CNN_sentence/master/rt-polarity.pos"),
    ),
)


class Sentences(NamedTuple):
    """N sentences, and for each its class (N,), which indexes CLASSES."""

    texts: list[str]
    labels: np.ndarray

    def __repr__(self) -> str:
        return outline(self)


def load_sentences(data_dir: str | Path | None = None) -> Sentences:
    """The sentences, first those of blame; shuffle them before you split.

    Looks for rt-polarity.neg and rt-polarity.pos, or the published archive with both,
    in `data_dir`, $SCRATCHNET_DATA/sentence-polarity and the cache, then downloads the
    two files. Raises DataError, with file and line, and NotAvailable; see `fetch`.
    """
    names = [file.name for file in FILES]
    folder = local_folder("sentence-polarity", [*names, f"or {ARCHIVE}"], data_dir)
    if folder is not None and (folder / ARCHIVE).exists() and not all((folder / name).exists() for name in names):
        contents = _unpacked(folder / ARCHIVE)
        found = [(f"{folder / ARCHIVE}, {name}", contents[name]) for name in names]
    else:
        found = [(str(path), _read(path)) for path in find("sentence-polarity", FILES, data_dir)]
    kinds = [_lines(place, content) for place, content in found]
    labels = np.repeat(np.arange(len(kinds)), [len(texts) for texts in kinds])
    return Sentences([text for texts in kinds for text in texts], labels)


def _read(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > LARGEST:
                raise DataError(f"{path}: larger than {LARGEST:,} bytes; not one of the published files")
            return file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _unpacked(path: Path) -> dict[str, bytes]:
    """The two files of the published archive, by name; nothing is written to disk."""
    content, found = bytearray(), dict[str, bytes]()
    try:
        with open_regular(path) as file:
            for piece in inflate(path, file):
                content += piece
                if len(content) > LARGEST:
                    raise DataError(f"{path}: more than {LARGEST:,} bytes unpacked; not the published archive")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in (file.name for file in FILES):
                    if name in found or not member.isreg() or member.issparse():
                        raise DataError(f"{path}, {member.name!r:.80}: appears twice, or is not a plain file")
                    found[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    except DataError:
        raise
    except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError) as error:
        raise DataError(f"{path}: not a readable tar archive ({error})") from error
    for wanted in FILES:
        if wanted.name not in found:
            raise DataError(f"{path}: no {wanted.name} in this archive")
    return found


def _lines(place: str, content: bytes) -> list[str]:
    """The sentences of a file, one a line; empty lines are skipped."""
    texts = []
    for number, line in enumerate(content.split(b"\n"), 1):
        text = " ".join(line.decode("latin-1").split())
        if any(ord(c) < 32 for c in text):
            raise DataError(f"{place}, line {number}: holds a control character; not a line of text")
        if text:
            texts.append(text)
    if not texts:
        raise DataError(f"{place}: holds no sentences")
    return texts


# ---------------------------------------------------------------- from texts to indices

PADDING, UNKNOWN, FIRST = 0, 1, 2  # indices of nothing, any rare word, the first word
LONGEST = 1_000  # words of a sentence, at most, that a network is to read
_WORD = re.compile(r"\w+(?:['’.&-]\w+)*|\.\.\.|--|[^\w\s]")


def words_of(text: str) -> list[str]:
    """The words and marks of a text, in lower case: "It's fun!" is it's, fun, !."""
    return _WORD.findall(text.lower().replace("’", "'"))


def vocabulary_of(sentences: Iterable[Sequence[str]], least: int) -> list[str]:
    """The words that stand in at least `least` sentences, in order of appearance."""
    counts = Counter(word for words in sentences for word in dict.fromkeys(words))
    return [word for word, n in counts.items() if n >= least]


def as_indices(sentences: Sequence[Sequence[str]], vocabulary: Sequence[str], length: int) -> np.ndarray:
    """(N, T) indices of the last T = `length` words of every sentence.

    The k-th word of the vocabulary has index FIRST + k, any other UNKNOWN. A short
    sentence stands at the end of its row, after PADDING, so that its last word is the
    last of the row: what an LSTM says at its end.
    """
    number = {word: FIRST + k for k, word in enumerate(vocabulary)}
    x = np.full((len(sentences), length), PADDING)
    for row, words in zip(x, sentences):
        last = [number.get(word, UNKNOWN) for word in words[-length:]]
        if last:
            row[-len(last) :] = last
    return x


def as_counts(sentences: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> Any:
    """(N, V), SciPy's CSR: 1 for every word of the vocabulary that a sentence holds."""
    from scipy.sparse import csr_array

    number = {word: k for k, word in enumerate(vocabulary)}
    rows = [sorted({number[word] for word in words if word in number}) for words in sentences]
    ends = np.cumsum([0, *map(len, rows)])
    columns = np.array([k for row in rows for k in row], np.int64)
    return csr_array((np.ones(len(columns), np.float32), columns, ends), shape=(len(rows), len(vocabulary)))


def text_to_input(text: str, vocabulary: Sequence[str], length: int | None) -> Any:
    """A text as the input of a network: indices of `length` words, or else counts.

    Raises DataError for a text with no word of the vocabulary.
    """
    words = words_of(text)
    if not set(words) & set(vocabulary):
        shown = ", ".join(word if len(word) <= 30 else word[:30] + "..." for word in words[:5]) or "nothing"
        raise DataError(
            f"no word of the text is known to the network, not {shown}: "
            f"it knows the {len(vocabulary):,} words of the sentences that it was trained on"
        )
    return as_counts([words], vocabulary).toarray() if length is None else as_indices([words], vocabulary, length)
