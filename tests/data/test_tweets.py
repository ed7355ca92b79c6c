"""From tweets to vectors, every step by hand on a small example.

CSV files good and bad.
"""

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnet.data.tweets import (
    MissingPackage,
    count_words,
    counts_of,
    load_tweets,
    make_numerical,
    preprocess_words,
    read_tweets,
    text_to_input,
    tokenise,
)
from scratchnet.data.words import NAMES, STOP_WORDS
from scratchnet.errors import DataError, install_command

# Seven tweets of a cat and a dog. The matrices below were counted by hand.
TWEETS = [
    "I was sleeping on the keyboard. Typed it all myself!",  # the cat
    "WALK? Walk! walking walked",  # the dog
    "The dog is barking again, @FelixTheCat https://example.com/bark",
    "Charles threw the ball and I caught the ball! #goodboy",
    "Sleeping again",
    "Balls! Balls!! And Charles 💛",
    "It's me",
]
WORDS = [
    ["sleep", "keyboard", "type"],
    ["walk", "walk", "walk", "walk"],
    ["dog", "bark", "@FelixTheCat"],
    ["Charles", "threw", "ball", "caught", "ball", "#goodboy"],
    ["sleep"],
    ["ball", "ball", "Charles", "💛"],
    [],
]
NUMBERS = [[0, 1, 2], [3, 3, 3, 3], [4, 5, 6], [7, 8, 9, 10, 9, 11], [0], [9, 9, 7, 12], []]
COUNTS = [
    #  sleep  type   dog  @Felix  threw caught   💛
    #    keyboard walk  bark Charles ball  #goodboy
    [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 1, 1, 0],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
]


def test_seven_tweets_by_hand():
    words = preprocess_words(tokenise(TWEETS), drop_links=True)
    assert words == WORDS
    vectors, word_dict = make_numerical(words)
    assert vectors == NUMBERS
    assert list(word_dict) == ["sleep", "keyboard", "type", "walk", "dog", "bark", "@FelixTheCat", "Charles", "threw",
                               "ball", "caught", "#goodboy", "💛"]  # fmt: skip
    assert list(word_dict.values()) == list(range(13))
    np.testing.assert_array_equal(count_words(vectors, 13), COUNTS)
    np.testing.assert_array_equal(count_words(vectors, 13, sparse=True).toarray(), COUNTS)


def test_counting_as_published():
    expected = [1, 0, 0, 2, 0, 1, 0, 1]
    np.testing.assert_array_equal(count_words([5, 0, 3, 3, 7], 8), expected)
    np.testing.assert_array_equal(count_words([[5, 0, 3, 3, 7]], 8), [expected])
    np.testing.assert_array_equal(count_words(np.array([5, 0, 3, 3, 7]), 8), expected)
    np.testing.assert_array_equal(
        count_words([[5, 0, 3, 3, 7], [], [0]], 8)[1:], np.eye(8)[[0]].repeat(2, 0) * [[0], [1]]
    )


@given(st.lists(st.lists(st.integers(0, 19), max_size=30), max_size=8))
def test_sparse_and_dense_counts_agree_with_a_plain_count(vectors):
    expected = np.array([[vector.count(word) for word in range(20)] for vector in vectors]).reshape(-1, 20)
    np.testing.assert_array_equal(count_words(vectors, 20), expected)
    np.testing.assert_array_equal(count_words(vectors, 20, sparse=True).toarray(), expected)


@pytest.mark.parametrize("number", [8, -1])
def test_a_number_without_a_word(number):
    with pytest.raises(DataError, match=f"word number {number} is outside 0 to 7"):
        count_words([[0], [3, number]], 8)


def test_words_that_are_not_known_are_passed_over():
    counts = counts_of([["b", "new", "b"], ["new"]], {"a": 0, "b": 1})
    np.testing.assert_array_equal(counts, [[0, 2], [0, 0]])


def test_a_large_vocabulary_is_counted_sparsely():
    words = {str(k): k for k in range(1000)}
    counts = counts_of([["7", "7", "999"], []], words)
    assert counts.format == "csr" and counts.nnz == 2
    assert counts[0, 7] == 2 and counts[0, 999] == 1


def test_stop_words_are_compared_in_lower_case_and_the_others_stay_untouched():
    tweets = [["The", "THE", "Nile", "the", "Theme", "ON", "It’s"]]
    assert preprocess_words(tweets, names=["Nile", "Theme"], stop_words=["THE", "on", "it's"]) == [["Nile", "Theme"]]


def test_handles_hashtags_and_names_are_not_stemmed():
    words = ["@Runnings", "#runnings", "Runnings", "runnings", "Charles", "charles"]
    assert preprocess_words([words], names=["Charles"], stop_words=[]) == [
        ["@Runnings", "#runnings", "run", "run", "Charles", "charl"]
    ]
    assert preprocess_words([words], names=words, stop_words=[]) == [words]


def test_links_are_kept_unless_they_are_to_be_dropped():
    links = ["https://t.co/AbC", "http://example.org", "www.example.org", "example.com/page"]
    assert preprocess_words([[*links, "link"]], drop_links=True) == [["link"]]
    kept = preprocess_words([links], stop_words=[])
    assert len(kept[0]) == 4


def test_the_steps_take_any_iterable_and_change_nothing():
    tweets = (("Dogs", "bark"),)
    assert preprocess_words(iter(tweets)) == [["dog", "bark"]]
    assert preprocess_words([]) == [] and make_numerical([]) == ([], {})
    assert count_words([], 4).shape == (0, 4)


def test_word_lists():
    assert all(word == word.lower() for word in STOP_WORDS)
    assert all(name[0].isupper() for name in NAMES) and len(NAMES) > 300
    assert {"the", "and", "i'm", ".", "!"} <= STOP_WORDS and "ship" not in STOP_WORDS


def test_built_in_corpus():
    tweets = load_tweets()
    assert tweets.authors == ["Skerry Light", "Doughlores"]
    assert np.bincount(tweets.labels).min() >= 60
    assert len(set(tweets.texts)) == len(tweets.texts) and max(map(len, tweets.texts)) <= 280
    everything = " ".join(tweets.texts)
    assert all(mark in everything for mark in ("@", "#", "https://", "💛", '"', ","))
    words = [{w for words in preprocess_words(tokenise(t for t, k in zip(tweets.texts, tweets.labels, strict=True)
             if k == author)) for w in words} for author in (0, 1)]  # fmt: skip
    assert len(words[0] & words[1]) > 100, "the two should share much of their vocabulary"


def test_importing_the_module_does_not_import_nltk():
    code = "import sys, scratchnet.data.tweets; print('nltk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_without_nltk_the_way_to_get_it(monkeypatch):
    for name in [name for name in sys.modules if name == "nltk" or name.startswith("nltk.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(MissingPackage, match=re.escape(install_command("text"))):
        tokenise(["hello"])


# ---------------------------------------------------------------------------- CSV files


@pytest.fixture
def csv(tmp_path):
    def write(content):
        path = tmp_path / "t.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_csv_as_it_comes(csv):
    tweets = read_tweets(
        csv(
            "\ufeffid,Author , text,likes\r\n"
            '1,Ann,"Hello, ""world""",3\r\n'
            "\r\n"
            "2,Bob,żółw 💛 naïve,0\r\n"
            ",,,\r\n"
            '3,Ann,"two\nlines",1\r\n'
            "4,Bob,  ,1\r\n"
            '5, Ann ,it\'s "fine",9'
        )
    )
    assert tweets.texts == ['Hello, "world"', "żółw 💛 naïve", "two\nlines", 'it\'s "fine"']
    assert tweets.labels.tolist() == [0, 1, 0, 0] and tweets.authors == ["Ann", "Bob"]


@pytest.mark.parametrize(
    "content, message",
    [
        ("author,tweet\nA,b\n", r"t.csv: there is no column text; row 1 must name .* but has: author, tweet"),
        ("name;body\nA;b\n", r"there is no column author and no column text; .* has: name;body"),
        ("", r"there is no column author .* has: nothing"),
        ("author,text\n", r"at least two authors, but there is no tweets"),
        ("author,text\nAnn,hello\nAnn,hi\n", r"at least two authors, but there is only Ann"),
        ("author,text\nAnn,hello\n,hi\n", r"row 3 has a text but no author"),
        ("author,text\nAnn,hello\n\nBob\n", r"row 4 has 1 columns instead of 2"),
        ('author,text\nAnn,hello\nBob,"open\n', r"row 3 is not CSV .* quote that does not close"),
        (b"author,text\nAnn,hello\nBob,caf\xe9\n", r"row 3 has a byte that is not UTF-8 \(0xe9\)"),
        (b'author,text\nAnn,"two\nlines"\nBob,\xff\n', r"row 3 has a byte that is not UTF-8 \(0xff\)"),
        ("author,text\nA,b\n".encode("utf-16"), r"row 1 has a byte that is not UTF-8"),
    ],
)
def test_bad_csv(csv, content, message):
    with pytest.raises(DataError, match=message):
        read_tweets(csv(content))


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: there is no such file"):
        read_tweets(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_tweets(tmp_path)


@given(st.binary(max_size=200))
def test_any_bytes_are_tweets_or_a_data_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    for head in (b"", b"author,text\n"):
        path.write_bytes(head + content)
        try:
            tweets = read_tweets(path)
        except DataError:
            continue
        assert len(tweets.texts) == len(tweets.labels) and len(tweets.authors) >= 2


# ---------------------------------------------------------- texts for a trained network


def test_a_text_as_input():
    words = ["gull", "@Ann", "fog"]
    np.testing.assert_array_equal(text_to_input("GULLS! Two gulls, @Ann https://example.com/gull", words), [[2, 1, 0]])


@pytest.mark.parametrize("text, message", [
    ("Bread rises", r"no word of the text is known to the network, not bread, rise: it knows the 2 words"),
    ("and the", r"nothing but stop words"),
    ("", r"nothing but stop words"),
    ("https://example.com/gull", r"nothing but stop words"),
])  # fmt: skip
def test_a_text_with_no_known_word(text, message):
    with pytest.raises(DataError, match=message):
        text_to_input(text, ["gull", "fog"])
