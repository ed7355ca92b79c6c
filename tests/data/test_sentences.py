"""The sentences of film reviews: files and archive, good and bad; words to indices."""

import io
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnet.data.sentences import (
    ARCHIVE,
    FIRST,
    as_counts,
    as_indices,
    load_sentences,
    text_to_input,
    vocabulary_of,
    words_of,
)
from scratchnet.errors import DataError

NEG = b"dull , very dull .\n\nit's a mess\n"
POS = b"a caf\xe9 full of joy !\nfine\x85 and funny\n"


def write(folder, neg=NEG, pos=POS):
    for name, content in (("neg", neg), ("pos", pos)):
        if content is not None:
            (folder / f"rt-polarity.{name}").write_bytes(content)
    return folder


def archive(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


PUBLISHED = (
    ("rt-polaritydata.README.1.0.txt", b"about"),
    ("rt-polaritydata/rt-polarity.neg", NEG),
    ("rt-polaritydata/rt-polarity.pos", POS),
)


def test_two_files(tmp_path):
    data = load_sentences(write(tmp_path))
    # a NEL ends no sentence; it is white space
    assert data.texts == ["dull , very dull .", "it's a mess", "a caf\xe9 full of joy !", "fine and funny"]
    assert data.labels.tolist() == [0, 0, 1, 1]


def test_the_archive_is_read_without_unpacking(tmp_path):
    archive(tmp_path / ARCHIVE, *PUBLISHED)
    found = load_sentences(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [ARCHIVE]
    assert found.texts == load_sentences(write(tmp_path)).texts


@pytest.mark.parametrize("members, message", [
    (PUBLISHED[:2], "no rt-polarity.pos in this archive"),
    ((*PUBLISHED, PUBLISHED[1]), "appears twice, or is not a plain file"),
    ((PUBLISHED[1], ("rt-polarity.pos", b"")), "rt-polarity.pos: holds no sentences"),
    ((PUBLISHED[1], ("rt-polarity.pos", b"a\nb\x00c\n")), "rt-polarity.pos, line 2: holds a control character"),
    ((*PUBLISHED, ("big", bytes(1 << 25))), "bytes unpacked; not the published archive"),
])  # fmt: skip
def test_archives_that_are_not_it(members, message, tmp_path):
    archive(tmp_path / ARCHIVE, *members)
    with pytest.raises(DataError, match=message):
        load_sentences(tmp_path)


def test_a_damaged_archive(tmp_path):
    archive(tmp_path / ARCHIVE, *PUBLISHED)
    whole = (tmp_path / ARCHIVE).read_bytes()
    for content in (whole[:-9], whole[: len(whole) // 2], b"", b"no archive", whole + b"more"):
        (tmp_path / ARCHIVE).write_bytes(content)
        with pytest.raises(DataError):
            load_sentences(tmp_path)


def test_a_link_in_an_archive_is_no_file(tmp_path):
    with tarfile.open(tmp_path / ARCHIVE, "w:gz") as file:
        info = tarfile.TarInfo("rt-polarity.neg")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(DataError, match="not a plain file"):
        load_sentences(tmp_path)


@pytest.mark.parametrize("neg, pos, message", [
    (NEG, None, "no rt-polarity.pos"),
    (b"", POS, "rt-polarity.neg: holds no sentences"),
    (b"\n\n", POS, "rt-polarity.neg: holds no sentences"),
    (NEG, b"fine\n\x00\x01", "rt-polarity.pos, line 2: holds a control character"),
    (NEG, bytes((1 << 24) + 1), "larger than 16,777,216 bytes"),
])  # fmt: skip
def test_files_that_are_not_it(neg, pos, message, tmp_path):
    with pytest.raises(DataError, match=message):
        load_sentences(write(tmp_path, neg, pos))


@given(st.binary(max_size=300))
def test_any_bytes_are_sentences_or_a_data_error(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("bytes")
    for neg, name in ((content, None), (None, ARCHIVE)):
        if name:
            (folder / name).write_bytes(content)
            (folder / "rt-polarity.neg").unlink()
            (folder / "rt-polarity.pos").unlink()
        else:
            write(folder, neg)
        try:
            data = load_sentences(folder)
        except DataError:
            continue
        assert len(data.texts) == len(data.labels) and all(data.texts)


def test_the_published_files(data_dir):
    if not (data_dir / "sentence-polarity").is_dir():
        pytest.skip("$SCRATCHNET_DATA has no sentence-polarity")
    data = load_sentences(data_dir)
    assert np.bincount(data.labels).tolist() == [5331, 5331]
    assert data.texts[0] == "simplistic , silly and tedious ."


# ------------------------------------------------------------ words, indices, counts


def test_words():
    assert words_of("It’s FUN -- really... (A 21st-century film!)") == [
        "it's", "fun", "--", "really", "...", "(", "a", "21st-century", "film", "!", ")",
    ]  # fmt: skip
    assert words_of("  ") == []


def test_vocabulary():
    sentences = [["b", "a", "b"], ["a", "c"], ["a"]]
    assert vocabulary_of(sentences, 1) == ["b", "a", "c"]
    assert vocabulary_of(sentences, 2) == ["a"], "b stands twice in one sentence"


def test_indices_end_with_the_last_word():
    x = as_indices([["a", "new", "b"], [], ["a", "b", "a", "b", "b"]], ["a", "b"], 4)
    a, b = FIRST, FIRST + 1
    assert x.tolist() == [[0, a, 1, b], [0, 0, 0, 0], [b, a, b, b]]


def test_counts():
    x = as_counts([["a", "new", "a"], [], ["c", "a"]], ["a", "b", "c"])
    assert x.format == "csr" and x.toarray().tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 1]]


def test_a_text_as_input():
    assert text_to_input("A, a new!", ["a", "b"], 3).tolist() == [[FIRST, 1, 1]]
    assert text_to_input("A, a new!", ["a", "b"], None).tolist() == [[1, 0]]
    for text, shown in (("New things", "not new, things: it knows the 2 words"), ("", "not nothing")):
        with pytest.raises(DataError, match=f"no word of the text is known to the network, {shown}"):
            text_to_input(text, ["a", "b"], 3)
