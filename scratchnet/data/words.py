"""Words that the tweets' pipeline drops, and words that it does not stem.

The lists are text files beside this one, and a user's own may take their place.
"""

import os
import re
from pathlib import Path

from scratchnet.errors import DataError
from scratchnet.files.reading import open_regular

LARGEST = 1 << 20  # bytes of a list of words; the longest here has four thousand


def read_words(path: str | Path, name: str = "") -> frozenset[str]:
    """The words of a text file in UTF-8, separated by white space, commas or new lines.

    `name` is what the messages call the file, by default its path. Raises DataError for
    a file that cannot be read, is not text or holds no words.
    """
    name = name or str(path)
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > LARGEST:
                raise DataError(f"{name}: larger than {LARGEST:,} bytes: not a list of words")
            text = file.read().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such file") from None
    except OSError as e:
        raise DataError(f"{name}: cannot be read: {e.strerror}") from None
    except UnicodeDecodeError as e:
        raise DataError(f"{name}: byte {e.start} is not UTF-8 text: save the list as UTF-8") from None
    words = frozenset(re.split(r"[\s,]+", text)) - {""}
    if not words:
        raise DataError(f"{name}: holds no words; write them one a line, or with blanks or commas between them")
    strange = next((word for word in sorted(words) if not word.isprintable()), None)
    if strange is not None:
        raise DataError(f"{name}: {strange[:20]!r} is not a word: this is not a list of words")
    return words


def _own(name: str) -> frozenset[str]:
    return read_words(Path(__file__).with_name(f"{name}.txt"))


#: Marks that stand alone: they are dropped with every list of stop words
MARKS = frozenset([*".,;:!?'\"-–—()[]/&*…“”‘’´`", "..", "..."])

#: Words that every author needs: articles, pronouns, auxiliaries, also contracted
#: (I'm), and marks. The rest tells what somebody talks about.
STOP_WORDS = _own("stop_words") | MARKS

#: A shorter list without contractions, as introductions use it
SHORT_STOP_WORDS = _own("stop_words_short") | MARKS

#: Personal names keep their form: stemming would merge Marie with Maria, and Charles
#: with Charlie.
NAMES = _own("names")
