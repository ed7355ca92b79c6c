"""A small network that has learnt from few digits, and a server that answers for it."""

import copy
import threading
from collections.abc import Iterator

import pytest

from scratchnet.data.digits import load_digits
from scratchnet.engine.optim import SGD
from scratchnet.playing.digits import Digits
from scratchnet.playing.plane import Plane
from scratchnet.playing.remembering import Remembering
from scratchnet.playing.server import Server
from scratchnet.playing.sessions import Sessions
from scratchnet.playing.taught import Model, Pictures, convolution_network, dense_network, teach


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    d = load_digits(train=400, test=60)
    return Pictures("own digits", d.train_images, d.train_labels, d.test_images, d.test_labels)


@pytest.fixture(scope="session")
def learnt(pictures: Pictures) -> Model:
    net = dense_network([12], "sigmoid")
    model = Model(net, (784,), 1 / 255, 0.0, tuple("0123456789"), "a small network")
    teach(model, SGD(net, lr=0.5), pictures, 20)
    return model


@pytest.fixture
def digits(learnt: Model, pictures: Pictures) -> Digits:
    return Digits(copy.deepcopy(learnt), pictures)


@pytest.fixture
def maps(pictures: Pictures) -> Digits:
    model = Model(convolution_network(), (1, 28, 28), 1 / 255, 0.0, tuple("0123456789"), "convolutions")
    return Digits(model, pictures, 0.003, "adam")


@pytest.fixture
def server(learnt: Model, pictures: Pictures, maps: Digits) -> Iterator[Server]:
    server = Server(
        Sessions(
            {
                "digits": lambda: Digits(learnt, pictures),
                "plane": Plane,
                "sequence": Remembering,
                "convolution": lambda: maps,
            },
            most=8,
        )
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
