"""Early stopping: a training ends when validation no longer improves.

Source: L. Prechelt, Early stopping, but when?, in: Neural Networks: Tricks of the
Trade, Springer 1998.
"""

from scratchnet.engine import checks
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.errors import SettingError


class EarlyStopping:
    """Ends a training when valid_loss has not fallen for `patience` epochs.

    It keeps the best weights. Without a patience, it never ends one and keeps nothing.
    """

    def __init__(self, who: str, net: Sequential, patience: int | None, with_valid: bool) -> None:
        self.net, self.best, self.waited = net, float("inf"), 0
        self.patience = None if patience is None else checks.whole(who, "patience", patience, 1)
        if self.patience is None:
            return
        if not with_valid:
            raise SettingError(f"{who}: patience needs validation examples: give valid=(x, target) too")
        self.weights = net.state_dict()

    def is_over(self, row: dict[str, float]) -> bool:
        """Look at the row of an epoch; whether it was the last one."""
        if self.patience is None:
            return False
        if row["valid_loss"] < self.best:
            self.best, self.waited, self.weights = row["valid_loss"], 0, self.net.state_dict()
        else:
            self.waited += 1
        return self.waited >= self.patience

    def restore(self) -> None:
        """Bring the weights of the best epoch back."""
        if self.patience is not None:
            self.net.load_state_dict(self.weights)
