"""The commands `train wheat`, `iris` and `tweets`: files, figures, search, mistakes."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import predict, train
from scratchnet.cli import guard
from scratchnet.data.iris import load_iris
from scratchnet.data.tweets import read_tweets
from scratchnet.engine.crossvalidation import crossval, stratified_split, take
from scratchnet.engine.fit import fit
from scratchnet.engine.training import order_of
from scratchnet.errors import Interrupted, SettingError
from scratchnet.runs.run import optimiser_of
from scratchnet.runs.search import as_csv, parse_grid
from scratchnet.studies import bags, tables, tweets
from scratchnet.studies.small import network
from tests.places import PATIENCE
from tests.profiles import quick_first, slow_if


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(study, *args):
    assert train.main([study, "--no-plots", "--threads", "1", "--out", "out", *args]) == 0
    return json.loads(Path("out/metrics.json").read_text())


def mistake(capsys, *args, main=train.main):
    """The exit code and the one line that a wrong command leaves."""
    try:
        sys.argv, before = ["train", *args], sys.argv
        guard(main)
    except SystemExit as e:
        said = capsys.readouterr()
        assert "Traceback" not in said.err and said.err.count("\n") == 1, said.err
        return e.code, said.err
    finally:
        sys.argv = before
    raise AssertionError("guard returned")


# ----------------------------------------------------------------------- wheat and iris


@pytest.mark.parametrize("preset", [slow_if(preset != "default", preset) for preset in tables.PRESETS])
def test_iris(preset, here):
    m = run("iris", "--preset", preset, "--epochs", "30")
    assert m["cv_accuracy"] == pytest.approx(np.mean(m["cv_folds"])) and m["cv_accuracy"] > 0.85
    assert m["cv_std"] == pytest.approx(np.std(m["cv_folds"], ddof=1)) and len(m["cv_folds"]) == m["folds"] == 5
    assert m["study"] == "iris" and set(m["per_class_accuracy"]) == {"setosa", "versicolor", "virginica"}
    assert "test_accuracy" not in m, "there is no test set"
    net, table = sn.load("out/model.safetensors"), load_iris()
    given = net.info["input"]
    assert given["features"] == list(table.features) and net.info["classes"] == list(table.classes)
    y = net((table.values - given["mean"]) / given["std"])
    assert (y.argmax(1) == table.labels).mean() > 0.85


def test_the_number_of_folds_is_an_option(capsys):
    m = run("iris", "--epochs", "3", "--folds", "3")
    assert m["folds"] == 3 and len(m["cv_folds"]) == 3
    assert "fold 3/3  trained on 100, judged on 50" in capsys.readouterr().out


def test_the_means_are_those_of_the_training_folds(monkeypatch):
    seen = []
    standardiser = tables.Standardiser
    monkeypatch.setattr(tables, "Standardiser", lambda x: seen.append(len(x)) or standardiser(x))
    run("iris", "--epochs", "1")
    assert seen == [120] * 5 + [150]


def wheat(folder, lines):
    (folder / "wheat-seeds").mkdir()
    (folder / "wheat-seeds" / "seeds_dataset.txt").write_text("\n".join(lines))
    return "--data-dir", str(folder)


def test_pictures(here):
    assert train.main(["iris", "--epochs", "2", "--out", "out"]) == 0
    assert all((here / "out" / name).stat().st_size > 10_000 for name in ("training.png", "confusion.png"))


@pytest.mark.nightly
@pytest.mark.parametrize("study, preset, least", [
    ("wheat", "scratch", 0.93), ("wheat", "default", 0.95), ("iris", "scratch", 0.95), ("iris", "default", 0.95),
])  # fmt: skip
def test_published_accuracy_over_five_seeds(study, preset, least, data_dir):
    from dataclasses import replace

    options = replace(tables.PRESETS[preset], data_dir=data_dir, threads="1")
    found = [tables.crossvalidate(study, replace(options, seed=seed)).accuracy for seed in range(5)]
    assert np.mean(found) >= least, found


# ------------------------------------------------------------------------------- tweets


def test_tweets(capsys):
    m = run("tweets")
    assert m["cv_accuracy"] >= 0.85 and m["test_accuracy"] >= 0.8 and 0 < m["cv_std"] < 0.1
    said = capsys.readouterr().out
    for author in ("Skerry Light", "Doughlores"):
        right = round(m["per_class_accuracy"][author] * 30)
        assert f"Of the 30 tweets by {author}, {right} were correctly identified." in said
        assert len(m["telling_words"][author]) == 10
    assert "gull" in m["telling_words"]["Skerry Light"] and "flour" in m["telling_words"]["Doughlores"]
    net = sn.load("out/model.safetensors")
    assert len(net.info["input"]["words"]) == m["vocabulary"] == net.layers[0].in_features
    assert net.info["classes"] == ["Skerry Light", "Doughlores"]


def test_tutorial(capsys):
    m = run("tweets", "--preset", "tutorial")
    said = capsys.readouterr().out
    assert "Of the 3 tweets by Skerry Light, 3 were correctly identified." in said
    assert "Of the 3 tweets by Doughlores, 3 were correctly identified." in said
    assert 0.8 < m["first_epoch_loss"] < 1.1 and m["train_loss"] < 0.39
    assert m["train_accuracy"] == 1 and "cv_accuracy" not in m and "test_accuracy" not in m


@pytest.mark.parametrize("batch_size", [1, 6])
def test_tutorial_loses_as_in_pytorch(batch_size):
    """From the same weights, with the same handful in the same order, losses are
    PyTorch's.

    The loss of every epoch, and the end. With a step for every tweet it goes from 1 to
    below 0.1; with one step per epoch, for all of them, to about 0.3.
    """
    torch = pytest.importorskip("torch")
    o = tweets.Options(**{**vars(tweets.PRESETS["tutorial"]), "batch_size": batch_size, "dtype": "float64"})
    _, data = tweets.load(o)
    chosen = np.sort(np.concatenate([np.flatnonzero(data.labels == k)[: tweets.HANDFUL] for k in range(2)]))
    words = take(tweets.words_of(data, o), chosen)
    x, t = bags.Vocabulary(words)(words).astype(float), np.eye(2)[data.labels[chosen]]
    ours = network(tweets.layers_of(x.shape[1], 2, o), o)
    theirs = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 200), torch.nn.ReLU(), torch.nn.Linear(200, 2)).double()
    theirs.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in ours.state_dict().items()})
    rule, losses = torch.optim.Adam(theirs.parameters(), lr=0.001), []
    for epoch in range(10):
        total = 0.0
        for which in np.split(order_of(0, epoch, len(x)), len(x) // batch_size):
            loss = ((theirs(torch.from_numpy(x[which])) - torch.from_numpy(t[which])) ** 2).sum()
            rule.zero_grad()
            loss.backward()
            rule.step()
            total += loss.item() / len(x)
        losses.append(total)
    history = fit(ours, tweets.loss_of(o), optimiser_of(ours, o), x, t, epochs=10, batch_size=batch_size)
    np.testing.assert_allclose([row["train_loss"] for row in history.epochs], losses, rtol=1e-10)
    assert 0.8 < losses[0] < 1.1 and (losses[-1] < 0.1 if batch_size == 1 else 0.2 < losses[-1] < 0.5)


def test_the_test_tweets_are_never_seen(monkeypatch):
    """Neither the vocabulary nor any fold knows a word that only test tweets have."""
    seen = []
    vocabulary = bags.Vocabulary
    monkeypatch.setattr(bags, "Vocabulary", lambda words, *more: seen.append(words) or vocabulary(words, *more))
    run("tweets", "--epochs", "1")
    _, data = tweets.load(tweets.PRESETS["default"])
    words = tweets.words_of(data, tweets.PRESETS["default"])
    train_part, _ = stratified_split(data.labels, 0.2, 0)
    known = {word for tweet in take(words, train_part) for word in tweet}
    assert len(seen) == 6 and all({w for tweet in part for w in tweet} <= known for part in seen)


def write_csv(path, rows, header=("author", "text")):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


@pytest.mark.slow
def test_csv_of_three_authors_with_awkward_names(here, capsys):
    rng = np.random.default_rng(0)
    topics = {
        "[/bold] O'Neil": "ships fog horn",
        'Zoë, "the" baker': "bread yeast oven",
        "💛 :smile:": "bark ball walk",
    }
    rows = [(author, " ".join(rng.choice(words.split(), 4)) + " [red]") for author, words in topics.items()
            for _ in range(12)]  # fmt: skip
    assert train.main(["tweets", "--csv", write_csv(here / "t.csv", rows), "--folds", "3", "--out", "out",
                       "--epochs", "20"]) == 0  # fmt: skip
    m = json.loads(Path("out/metrics.json").read_text())
    assert m["dataset"] == "t" and m["test_accuracy"] == 1 and set(m["per_class_accuracy"]) == set(topics)
    said = capsys.readouterr().out
    assert all(f"tweets by {author}, 2 were correctly identified." in said for author in topics)
    assert (here / "out" / "words.png").stat().st_size > 10_000


def simulated(seed=0, n=1000, words=12_000, difference=0.87, length=11, authors=4):
    """Tweets by authors who use the words of one language, each with habits of their
    own.

    The words follow Zipf's law.
    """
    rng = np.random.default_rng(seed)
    zipf = 1 / np.arange(20, words + 20)
    for author in range(authors):
        p = zipf * np.exp(difference * rng.normal(size=words))
        p /= p.sum()
        for _ in range(n):
            yield f"author{author}", " ".join(f"w{i}" for i in rng.choice(words, max(1, rng.poisson(length)), p=p))


@pytest.mark.nightly
def test_four_authors_not_below_a_linear_model_of_the_same_words(here):
    pytest.importorskip("sklearn", reason="scikit-learn, of the extra `bench`, is not installed")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    m = run("tweets", "--csv", write_csv(here / "four.csv", simulated()))
    _, data = tweets.load(tweets.Options(**{**vars(tweets.PRESETS["default"]), "csv": here / "four.csv"}))
    words = tweets.words_of(data, tweets.PRESETS["default"])
    train_part, test_part = stratified_split(data.labels, 0.2, 0)
    vocabulary = bags.Vocabulary(take(words, train_part))
    x, t = vocabulary(take(words, train_part)), data.labels[train_part]
    linear = max((LogisticRegression(C=C, max_iter=1000) for C in (0.03, 0.1, 0.3, 1, 3)),
                 key=lambda model: cross_val_score(model, x, t, cv=3).mean())  # fmt: skip
    score = linear.fit(x, t).score(vocabulary(take(words, test_part)), data.labels[test_part])
    assert 0.8 < score < 0.87, "data of the kind of the real tweets, where such a model reaches 83.5 %"
    assert m["test_accuracy"] >= score


# ------------------------------------------------------------------------------- search


def test_search_prints_and_writes_all_combinations_best_first(here, capsys):
    args = ["iris", "--search", "hidden=4,8x4 lr=0.01,1e-6", "--epochs", "15", "--folds", "3", "--out", "out"]
    assert train.main(args) == 0
    rows = list(csv.DictReader(Path("out/search.csv").read_text().splitlines()))
    assert {(row["hidden"], row["lr"]) for row in rows} == {(h, lr) for h in ("4", "8x4") for lr in ("0.01", "1e-6")}
    found = [float(row["cv_accuracy"]) for row in rows]
    assert found == sorted(found, reverse=True) and {row["lr"] for row in rows[:2]} == {"0.01"}
    said = capsys.readouterr().out
    assert "best first" in said and "put --hidden" in said
    assert not (here / "out" / "model.safetensors").exists()
    # the figure is that of the same settings without a search
    best = parse_grid(f"hidden={rows[0]['hidden']} lr={rows[0]['lr']}", tables.PRESETS["default"], "")[0][1]
    options = tables.Options(**{**vars(best), "epochs": 15, "folds": 3, "threads": "1"})
    assert tables.crossvalidate("iris", options).accuracy == found[0]


@pytest.mark.slow
def test_a_combination_that_diverges_is_last_and_says_so(capsys):
    args = ["--preset", "scratch", "--search", "lr=0.1,1e39", "--epochs", "2", "--folds", "2", "--out", "out"]
    assert train.main(["iris", *args]) == 0
    rows = list(csv.DictReader(Path("out/search.csv").read_text().splitlines()))
    assert [row["lr"] for row in rows] == ["0.1", "1e39"] and rows[1]["cv_accuracy"] == "nan"
    assert [row["problem"] for row in rows] == ["", "diverged"]
    said = capsys.readouterr().out
    assert "lr=1e39: diverged" in said and "nan" not in said and "put --lr 0.1 in" in said


@pytest.mark.slow
def test_a_combination_that_cannot_be_does_not_end_the_others(capsys):
    args = ["--search", "folds=2,60,3", "--epochs", "2", "--out", "out"]
    assert train.main(["iris", *args]) == 0
    rows = list(csv.DictReader(Path("out/search.csv").read_text().splitlines()))
    assert rows[2]["folds"] == "60" and "every class needs at least 60 examples" in rows[2]["problem"]
    assert {row["folds"] for row in rows[:2]} == {"2", "3"} and "folds=60: with 60 folds" in capsys.readouterr().out


@pytest.mark.slow
def test_a_search_in_which_nothing_can_be_trained_says_so():
    with pytest.raises(SettingError, match="no combination could be trained; the first: diverged"):
        train.main(["iris", "--preset", "scratch", "--search", "lr=1e39,1e40", "--epochs", "2", "--out", "out"])


def test_csv_of_a_search_and_the_order_of_equals():
    from scratchnet.runs.search import Found, best_first

    rows = [Found({"lr": "a"}, 0.5, 0.25, 1.23456), Found({"lr": "b"}, np.nan, np.nan, 2.0, 'bad, "quoted"'),
            Found({"lr": "c"}, 0.9, 0.2, 1.0), Found({"lr": "d"}, 0.9, 0.1, 1.0), Found({"lr": "e"}, 0.9, 0.2, 1.0),
            Found({"lr": "f"}, 0.0, 0.0, 1.0)]  # fmt: skip
    text = as_csv(best_first(rows))
    assert text.startswith("lr,cv_accuracy,cv_std,seconds,problem\nd,0.9,0.1,1.0,\nc,0.9,0.2,1.0,\n")
    assert [row["lr"] for row in csv.DictReader(text.splitlines())] == list("dceafb")
    assert text.splitlines()[-1] == 'b,nan,nan,2.0,"bad, ""quoted"""'


SEARCHING = ["-u", "-m", "scratchnet.train", "iris", "--epochs", "200", "--search", "lr=0.03,0.02,0.01 hidden=8,4",
             "--out", "out"]  # fmt: skip


def begin_search(folder):
    """A search that has done one combination, and the processes that do the others."""
    environment = {**os.environ, "PYTHONPATH": str(Path(sn.__file__).parents[1])}
    p = subprocess.Popen([sys.executable, *SEARCHING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         cwd=folder, start_new_session=True, env=environment)  # fmt: skip
    assert any("lr=" in line for line in p.stdout)
    children = subprocess.run(["pgrep", "-P", str(p.pid), "-f", "spawn_main"], capture_output=True, text=True)
    return p, [int(pid) for pid in children.stdout.split()]


needs_pgrep = pytest.mark.skipif(shutil.which("pgrep") is None, reason="pgrep is missing")


@pytest.mark.slow
@needs_pgrep
def test_a_search_goes_on_when_one_of_its_processes_is_killed(tmp_path):
    p, workers = begin_search(tmp_path)
    os.kill(workers[-1], signal.SIGKILL)
    out, err = p.communicate()
    assert p.returncode == 0 and err == "" and "best first" in out, err
    rows = list(csv.DictReader((tmp_path / "out" / "search.csv").read_text().splitlines()))
    assert len(rows) == 6 and not any(row["problem"] for row in rows)


@pytest.mark.slow
@needs_pgrep
@pytest.mark.parametrize(("number", "whom", "code"), [(signal.SIGTERM, "main", -15), (signal.SIGKILL, "main", -9),
                                                      (signal.SIGINT, "all", 130)])  # fmt: skip
def test_a_search_that_is_ended_leaves_no_process_behind_and_what_was_done(number, whom, code, tmp_path):
    p, workers = begin_search(tmp_path)
    os.kill(p.pid, number) if whom == "main" else os.killpg(p.pid, number)  # as a terminal's Ctrl-C does
    _, err = p.communicate(timeout=PATIENCE)  # would wait for ever for an orphan that holds the pipe
    assert p.returncode == code and (err == "stopped\n" or number != signal.SIGINT), err
    assert workers and (tmp_path / "out" / "search.csv").read_text().count("\n") >= 2


# ----------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize("grid, message", [
    ("hidden", "write NAME=VALUE,VALUE"),
    ("hidden=", "write NAME=VALUE,VALUE"),
    ("hidden=3,,4", "write NAME=VALUE,VALUE"),
    ("hiden=3", "no option --hiden; did you mean --hidden?"),
    ("lr=fast", "lr"),
    ("lr=0", "--lr must be a number above 0"),
    ("lr=0.1 lr=0.2", "names lr twice"),
    ("batch-size=4 batch_size=8", "names batch_size twice"),
    ("preset=scratch,default", "--search preset: give it to the whole search"),
    ("resume=x", "--search resume: give it to the whole search"),
    ("no-plots", "write NAME=VALUE,VALUE"),
    (" ", "--search is empty"),
])  # fmt: skip
def test_bad_search(grid, message, capsys, here):
    code, said = mistake(capsys, "iris", "--search", grid)
    assert code == 2 and message in said
    assert not (here / "runs").exists()


def test_bad_options(capsys):
    for args, message in [
        (("iris", "--folds", "1"), "--folds must be a number from 2"),
        (("iris", "--folds", "0"), "--folds must be a number from 2"),
        (
            ("iris", "--folds", "2.5"),
            "invalid literal for int() with base 10: '2.5'; see",
        ),
        (("iris", "--folds", "60"), "50 examples of setosa, too few for 60 folds"),
        (("iris", "--folds", "1000"), "50 examples of setosa, too few for 1000 folds"),
        (("tweets", "--folds", "1000"), "the built-in tweets: Skerry Light has 150 tweets, too few for"),
        (("iris", "--dropout", "1"), "--dropout must be from 0 to below 1"),
        (("iris", "--hidden", "3,x"), "--hidden"),
        (("tweets", "--preset", "tutorial", "--search", "lr=1"), "too few tweets to choose by"),
        (("tweets", "--preset", "tutor"), "did you mean tutorial?"),
    ]:
        code, said = mistake(capsys, *args)
        assert code == 2 and message in said
        assert not Path("runs").exists(), "nothing is left behind"


@pytest.mark.parametrize("content, message", [
    (b"author,text\nAnn,hello, world\nBob,hi\n", "row 2 has 3 columns instead of 2: a text with commas stands in"),
    (b"author,text,text\nAnn,hello,\nBob,hi,\n", "row 1 names the column text 2 times"),
    (b"author,text\nAnn\n", "row 2 has 1 columns instead of 2"),
    (b"author;text\nAnn;hello\n", "there is no column author and no column text"),
    (b"", "there is no column author and no column text"),
    (b"author,tweet\nA,b\n", "there is no column text"),
    (b"author,text\nAnn,hello\nAnn,hi\n", "at least two authors, but there is only Ann"),
    (b"author,text\nAnn,hello\nBob,caf\xe9\n", "row 3 has a byte that is not UTF-8"),
    (b"author,text\n" + b"Ann,gulls\nBob,bread\n" * 4, "Ann has 4 tweets, too few for a test split and 5 folds"),
    (b"author,text\n" + b"Ann,the\nBob,and\n" * 40, "no words are left of the tweets"),
])  # fmt: skip
def test_bad_tweets(content, message, capsys, here):
    (here / "t.csv").write_bytes(content)
    code, said = mistake(capsys, "tweets", "--csv", "t.csv")
    assert code == 2 and message in said
    assert not (here / "runs").exists(), "nothing is left behind"


@pytest.mark.parametrize("line, message", [
    ("15.26\t14.84\t0.871\t5.763\t3.312\t\t5.22\t1", "line 2: 7 fields instead of 8"),
    ("15.26\t14.84\t0.871\t5.763\t3.312\t2.221\t5.22\t1\t9", "line 2: 9 fields instead of 8"),
    ("15.26\t14.84\t0.871\tNA\t3.312\t2.221\t5.22\t1", "line 2, length: 'NA' is not a finite number"),
    ("15.26\t14.84\t0.871\t5.763\t3.312\t2.221\t5.22\t4", "line 2, kind: '4' is not one of 1, 2, 3"),
])  # fmt: skip
def test_bad_wheat(line, message, capsys, here):
    from scratchnet.data.tables import read_table
    from scratchnet.data.wheat import FEATURES

    good = "15.26\t14.84\t0.871\t5.763\t3.312\t2.221\t5.22\t1"
    (here / "t.txt").write_text(f"{good}\n{line}\n")
    with pytest.raises(sn.DataError, match=message.replace("(", "\\(")):
        read_table(here / "t.txt", [*FEATURES, "kind"], {"kind": ("1", "2", "3")})
    code, said = mistake(capsys, "wheat", *wheat(here, [good, line]))
    assert code == 2 and "seeds_dataset.txt" in said


def test_wheat_of_one_kind_only(capsys, here):
    code, said = mistake(capsys, "wheat", *wheat(here, ["15.26 14.84 0.871 5.763 3.312 2.221 5.22 1"] * 30))
    assert code == 2 and "0 examples of Rosa, too few for 5 folds" in said and not (here / "runs").exists()


@pytest.mark.parametrize("change", [
    lambda content: b"\xef\xbb\xbf" + content,  # the byte order mark of some spreadsheets
    lambda content: content.replace(b"\n", b"\r\n"),
    lambda content: content.replace(b"author,text", b"Author , TEXT"),
    lambda content: b"\n".join(line + b"," for line in content.splitlines()),  # an empty column, as spreadsheets do
    lambda content: content.replace(b"\n", b"\n,\n\n"),  # empty rows
])  # fmt: skip
def test_the_same_tweets_written_otherwise(change, here):
    path = Path(write_csv(here / "t.csv", [("Ann", 'gulls, "fog" 💛'), ("Bob", "bread"), ("Ann", "ships")]))
    before = read_tweets(path)
    assert before.texts[0] == 'gulls, "fog" 💛' and before.authors == ["Ann", "Bob"]
    path.write_bytes(change(path.read_bytes()))
    after = read_tweets(path)
    assert after.texts == before.texts and list(after.labels) == list(before.labels) == [0, 1, 0]


@pytest.mark.slow
def test_twenty_authors_and_other_columns_first(here):
    rows = [(i, f"word{k} thing{k}\nsecond line", f"author {k}") for i in range(8) for k in range(20)]
    m = run("tweets", "--csv", write_csv(here / "t.csv", rows, ("id", "text", "author")), "--epochs", "60")
    assert len(m["per_class_accuracy"]) == 20 and m["test_accuracy"] > 0.9


@pytest.mark.slow
def test_without_nltk_one_line(here):
    code = "import sys; sys.modules['nltk'] = None; from scratchnet.cli import guard; from scratchnet import train; " \
           "sys.argv = ['train', 'tweets']; guard(train.main)"  # fmt: skip
    env = os.environ | {"PYTHONPATH": str(Path(sn.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 2 and "[text]'" in done.stderr and done.stderr.count("\n") == 1
    assert not (here / "runs").exists()


def test_crossval_is_public():
    assert sn.crossval is crossval


# ----------------------------------------------------------------------- predict --text


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    assert train.main(["tweets", "--no-plots", "--threads", "1", "--out", str(out)]) == 0
    return str(out / "model.safetensors")


def test_predict_names_the_author(model, capsys):
    assert predict.main([model, "--text", "The gulls are on the railing again. Fog, and a ship on the rocks."]) == 0
    assert capsys.readouterr().out.startswith("Skerry Light  ")
    text = "My jar is full of BUBBLES! https://example.org/lighthouse #sourdough"
    assert predict.main([model, "--text", text, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (
        found["text"] == text
        and found["label"] == "Doughlores"
        and set(found) == {"text", "label", "probabilities", "notes"}
    )
    assert sum(found["probabilities"].values()) == pytest.approx(1) and found["probabilities"]["Doughlores"] > 0.7


@pytest.mark.parametrize("args, message", [
    (["--text", "Quantum chromodynamics"], "no word of the text is known to the network, not quantum, chromodynam"),
    (["--text", "and so on!"], "nothing but stop words"),
    (["--text", ""], "nothing but stop words"),
    (["--text", "q" * 9_000], f"not {'q' * 30}...: it knows"),
    (["--text", "gulls", "picture.png"], "--text stands alone"),
    (["picture.png"], "this model does not take grey images of 28 x 28 pixels: its input is words"),
    ([], "no image is given"),
])  # fmt: skip
def test_predict_mistakes(args, message, model, capsys):
    code, said = mistake(capsys, model, *args, main=predict.main)
    assert code == 2 and message in said


def test_a_model_of_something_else_takes_no_text(here, capsys):
    run("iris", "--epochs", "1")
    code, said = mistake(capsys, "out/model.safetensors", "--text", "gulls", main=predict.main)
    assert code == 2 and "this model does not take text: its input is features" in said


# ---------------------------------------------------------- interrupted, and shared out


def interrupt_at(monkeypatch, fit_number, epoch):
    """Ctrl-C at the first step of `epoch` (from 0) in fit `fit_number` (from 1)."""
    from scratchnet.runs import run as module

    begun = []

    class Lines(module.ProgressLines):
        def __init__(self, *args):
            super().__init__(*args)
            begun.append(self)

        def step(self, now, k, steps, loss):
            super().step(now, k, steps, loss)
            if (len(begun), now, k) == (fit_number, epoch, 0):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(module, "ProgressLines", Lines)


@pytest.mark.parametrize("study, fit_number, more", quick_first([
    ("iris", 1, ["--folds", "3"]),
    ("tweets", 1, ["--folds", "2"]),
    ("waveforms", 2, ["--echoes", "300", "--passes", "5", "--judged", "3"]),
    ("iris", 1, ["--preset", "scratch", "--folds", "3"]),
    ("tweets", 1, ["--preset", "tutorial"]),
    ("waveforms", 1, ["--echoes", "300", "--passes", "5", "--judged", "3"]),
    ("waveforms", 3, ["--echoes", "300", "--passes", "5", "--judged", "3"]),
], 1))  # fmt: skip
def test_an_interrupted_run_goes_on_to_the_same_end(study, fit_number, more, here, monkeypatch):
    """The folds are judged anew, and the final networks go on.

    Weights and figures are those of an uninterrupted run.
    """
    args = [study, "--no-plots", "--threads", "1", "--epochs", "4", *more, "--out"]
    assert train.main([*args, "whole"]) == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, fit_number, 2)
        with pytest.raises(Interrupted, match="--resume cut"):
            train.main([*args, "cut"])
    assert not (here / "cut" / "model.safetensors").exists()
    assert train.main([study, "--no-plots", "--resume", "cut"]) == 0
    for path in sorted((here / "whole").glob("*.safetensors")):
        a, b = (sn.load(folder / path.name).state_dict() for folder in (here / "whole", here / "cut"))
        assert all(np.array_equal(a[name], b[name]) for name in a), path.name
    a, b = (json.loads((here / folder / "metrics.json").read_text()) for folder in ("whole", "cut"))
    same = {"cv_accuracy", "cv_folds", "test_accuracy", "train_loss", "rmse_m", "tracker_rmse_m"} & set(a)
    assert same and all(a[name] == b[name] for name in same)


def test_a_run_that_had_not_come_to_its_training_cannot_be_resumed(capsys, here):
    (here / "cut").mkdir()  # as it is while the folds are judged
    code, said = mistake(capsys, "iris", "--resume", "cut")
    assert code == 2 and "no checkpoint to go on from" in said


def test_what_belongs_to_a_run_is_not_changed_when_it_goes_on(capsys, here):
    run("iris", "--epochs", "2", "--folds", "3")
    code, said = mistake(capsys, "iris", "--resume", "out", "--folds", "4")
    assert code == 2 and "--folds 4 cannot be given to a run that began with 3" in said
    code, said = mistake(capsys, "iris", "--resume", "out", "--search", "lr=0.1")
    assert code == 2 and "--search lr=0.1 cannot be given" in said
    code, said = mistake(capsys, "wheat", "--resume", "out")
    assert code == 2 and "is of study iris, not wheat" in said
