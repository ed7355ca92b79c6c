"""A right answer to every exercise: what replaces the stubs. They live here alone."""

from scratchnet.exercises.catalogue import EXERCISES

SOLUTIONS = {
    "01_neuron": """
def neuron(w, b, x):
    return w @ x + b
""",
    "02_sigmoid": """
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_prime(z):
    a = sigmoid(z)
    return a * (1 - a)
""",
    "03_cost": """
def cost(a, t):
    return np.sum((a - t) ** 2) / (2 * a.shape[1])


def cost_slope(a, t):
    return (a - t) / a.shape[1]
""",
    "04_descent": """
def descend(w, g, lr):
    return w - lr * g
""",
    "05_bp1": """
def bp1(a, t):
    return (a - t) / a.shape[1] * a * (1 - a)
""",
    "06_bp2": """
def bp2(W, delta, a):
    return (W.T @ delta) * a * (1 - a)
""",
    "07_bp3": """
def bp3(delta):
    return delta.sum(axis=1)
""",
    "08_bp4": """
def bp4(delta, a):
    return delta @ a.T
""",
    "09_linear": """
def forward(W, b, a):
    return W @ a + b[:, None]


def backward(W, a, delta):
    dW = delta @ a.T
    db = delta.sum(axis=1)
    da = W.T @ delta
    return dW, db, da
""",
    "10_softmax": """
def softmax(z):
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)


def cross_entropy(z, labels):
    N = z.shape[1]
    p, own = softmax(z), (labels, np.arange(N))
    dz = p.copy()
    dz[own] -= 1
    C = -np.mean(np.log(p[own]))
    return C, dz / N
""",
    "11_momentum": """
def momentum(w, g, v, lr, mu):
    v_new = mu * v + g
    return w - lr * v_new, v_new
""",
    "12_adam": """
def adam(w, g, m, v, t, lr, beta1, beta2, eps):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v
""",
    "13_convolution": """
def convolution(x, W, b):
    k, l = W.shape[2:]
    R, C = x.shape[2] - k + 1, x.shape[3] - l + 1
    y = np.empty((len(x), len(W), R, C))
    for r in range(R):
        for c in range(C):
            under = x[:, :, r : r + k, c : c + l]
            y[:, :, r, c] = np.tensordot(under, W, axes=([1, 2, 3], [1, 2, 3])) + b
    return y
""",
    "14_convolution_back": """
def convolution_back(x, W, delta):
    k, l = W.shape[2:]
    dx, dW = np.zeros_like(x), np.zeros_like(W)
    for r in range(delta.shape[2]):
        for c in range(delta.shape[3]):
            d, under = delta[:, :, r, c], x[:, :, r : r + k, c : c + l]
            dx[:, :, r : r + k, c : c + l] += np.tensordot(d, W, axes=1)
            dW += np.tensordot(d.T, under, axes=1)
    db = delta.sum(axis=(0, 2, 3))
    return dx, dW, db
""",
    "15_pooling": """
def pool(x):
    N, C, H, W = x.shape
    return x.reshape(N, C, H // 2, 2, W // 2, 2).max(axis=(3, 5))


def pool_back(x, delta):
    largest = pool(x).repeat(2, axis=2).repeat(2, axis=3)
    return (x == largest) * delta.repeat(2, axis=2).repeat(2, axis=3)
""",
    "16_rnn": """
def rnn(x, W_x, W_h, b):
    h, states = np.zeros((len(W_h), x.shape[2])), []
    for t in range(len(x)):
        h = np.tanh(W_x @ x[t] + W_h @ h + b[:, None])
        states.append(h)
    return np.stack(states)
""",
    "17_rnn_back": """
def rnn_back(x, h, W_x, W_h, delta):
    dx, dW_x, dW_h, db = np.empty_like(x), np.zeros_like(W_x), np.zeros_like(W_h), np.zeros(len(W_h))
    future = np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        dz = (delta[t] + future) * (1 - h[t] ** 2)
        before = h[t - 1] if t else np.zeros_like(h[0])
        dW_x += dz @ x[t].T
        dW_h += dz @ before.T
        db += dz.sum(axis=1)
        dx[t] = W_x.T @ dz
        future = W_h.T @ dz
    return dx, dW_x, dW_h, db
""",
    "18_lstm": """
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm(x, h, c, W_x, W_h, b):
    z_i, z_f, z_g, z_o = np.split(W_x @ x + W_h @ h + b[:, None], 4)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    c_new = f * c + i * g
    return o * np.tanh(c_new), c_new
""",
    "19_lstm_back": """
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_back(x, h, c, W_x, W_h, b, dh_new, dc_new):
    z_i, z_f, z_g, z_o = np.split(W_x @ x + W_h @ h + b[:, None], 4)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    shown = np.tanh(f * c + i * g)
    do = dh_new * shown
    dc_total = dc_new + dh_new * o * (1 - shown**2)
    di, df, dg, dc = dc_total * g, dc_total * c, dc_total * i, dc_total * f
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
    return W_x.T @ dz, W_h.T @ dz, dc, dz @ x.T, dz @ h.T, dz.sum(axis=1)
""",
    "20_batch_norm": """
def normalised(x, eps):
    root = np.sqrt(x.var(axis=1, keepdims=True) + eps)
    return (x - x.mean(axis=1, keepdims=True)) / root, root


def batch_norm(x, gamma, beta, eps):
    return gamma[:, None] * normalised(x, eps)[0] + beta[:, None]


def batch_norm_back(x, gamma, eps, delta):
    x_hat, root = normalised(x, eps)
    mean = delta.mean(axis=1, keepdims=True)
    along = (delta * x_hat).mean(axis=1, keepdims=True)
    dx = gamma[:, None] / root * (delta - mean - x_hat * along)
    return dx, (delta * x_hat).sum(axis=1), delta.sum(axis=1)
""",
    "21_dropout": """
def dropout(x, keep, p):
    return x if keep is None else x * keep / (1 - p)


def dropout_back(keep, p, delta):
    return delta * keep / (1 - p)
""",
}


def solved(name: str) -> str:
    """The text of a file with the right answer."""
    lesson = EXERCISES[name].text.partition("\n\n\ndef ")[0]
    return f"{lesson}\n\n{SOLUTIONS[name]}"
