"""Where data sets are, and which of them are here already."""

import os
from collections.abc import Iterator
from pathlib import Path

from scratchnet.examining.findings import BAD, GOOD, NOTE, Line

IDX = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
DATASETS = {  # for each, sets of files (plain or .gz), one of which must be complete
    "mnist": [IDX],
    "fashion-mnist": [IDX],
    "cifar-10": [
        ["cifar-10-binary.tar"],
        ["data_batch_1.bin", "test_batch.bin"],
        ["cifar-10-batches-bin/data_batch_1.bin", "cifar-10-batches-bin/test_batch.bin"],
    ],
    "cifar-100": [
        ["cifar-100-binary.tar"],
        ["train.bin", "test.bin"],
        ["cifar-100-binary/train.bin", "cifar-100-binary/test.bin"],
    ],
    "wheat-seeds": [["seeds_dataset.txt"]],
    "sentence-polarity": [["rt-polarity.neg", "rt-polarity.pos"], ["rt-polaritydata.tar.gz"]],
}
BUILT_IN = ("digits", "flights", "iris", "tweets")


def data() -> Iterator[Line]:
    chosen = os.environ.get("SCRATCHNET_DATA")
    if not chosen:
        yield Line(NOTE, "data folder", "$SCRATCHNET_DATA is not set; optional: a folder with data sets of your own")
    elif Path(chosen).is_dir():
        yield Line(GOOD, "data folder", f"{chosen}  ($SCRATCHNET_DATA)")
    else:
        mend = "export SCRATCHNET_DATA=DIR with a folder that exists, or unset it"
        yield Line(BAD, "data folder", f"{chosen}: no such folder ($SCRATCHNET_DATA)", mend)
    from scratchnet.files.folders import cache_folder

    cache = cache_folder()
    parent = next((folder for folder in (cache, *cache.parents) if folder.exists()), Path("/"))
    if os.access(parent, os.W_OK) and parent.is_dir():
        yield Line(GOOD, "cache folder", f"{cache}" + ("" if cache.is_dir() else "  (made by the first download)"))
    else:
        yield Line(BAD, "cache folder", f"{cache}: cannot be written", "export SCRATCHNET_CACHE=DIR with one that can")
    for name, choices in DATASETS.items():
        folders = [Path(root) / name for root in (chosen, cache) if root]
        found = [folder for folder in folders if any(whole(folder, files) for files in choices)]
        if found:
            yield Line(GOOD, name, f"{found[0]}")
        else:
            mend = f"is downloaded on first use, or put its files into {(folders or [cache / name])[0]}"
            yield Line(NOTE, name, "not here yet", mend)
    yield Line(GOOD, "built in", ", ".join(BUILT_IN))


def whole(folder: Path, files: list[str]) -> bool:
    """Whether the folder has each of the files, as it is or compressed."""
    return all((folder / name).is_file() or (folder / f"{name}.gz").is_file() for name in files)
