"""One session for every tab: its views, and the end of those that nobody uses."""

import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from scratchnet.errors import SettingError
from scratchnet.playing.plain import Message

#: Makes the views of a session: from its name in a message to the object that answers
Views = dict[str, Callable[[], Any]]

MOST = 12  # sessions at once; each may hold a few networks
IDLE_SECONDS = 1800.0


class TooMany(SettingError):
    """There are as many tabs as this program serves at once."""


class Session:
    """The views of one tab. Its messages are answered one after another."""

    def __init__(self, views: Views) -> None:
        self._make, self._views = views, dict[str, Any]()
        self.lock = threading.Lock()
        self.used = time.monotonic()

    def answer(self, message: Message) -> dict[str, Any]:
        """What a view says to a message {"view": name, "do": action, ...}.

        A view names its actions in `ACTIONS`. Raises ScratchnetError for a message that
        cannot be carried out; nothing has changed then.
        """
        name, action = message.get("view"), message.get("do")
        if not isinstance(name, str) or name not in self._make:
            raise SettingError(f"there is no such view; there are {', '.join(self._make)}")
        with self.lock:
            if name not in self._views:
                self._views[name] = self._make[name]()
            view = self._views[name]
            if not isinstance(action, str) or action not in view.ACTIONS:
                raise SettingError(f"{name} has no such action; there are {', '.join(view.ACTIONS)}")
            return getattr(view, action)(message)


class Sessions:
    """All sessions by their names, which cannot be guessed."""

    def __init__(self, views: Views, most: int = MOST, idle: float = IDLE_SECONDS) -> None:
        self._views, self._most, self._idle = views, most, idle
        self._all: dict[str, Session] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._all)

    def open(self) -> str:
        """The name of a new session; those that have been idle for long end first.

        Raises TooMany.
        """
        with self._lock:
            now = time.monotonic()
            self._all = {name: s for name, s in self._all.items() if now - s.used < self._idle}
            if len(self._all) >= self._most:
                raise TooMany(f"{self._most} tabs are open already: close one, and load this one again")
            name = secrets.token_urlsafe(16)
            self._all[name] = Session(self._views)
            return name

    def close(self, name: Any) -> None:
        with self._lock:
            self._all.pop(name if isinstance(name, str) else "", None)

    def get(self, name: Any) -> Session:
        """The session of this name. Raises SettingError if it has ended."""
        with self._lock:
            session = self._all.get(name) if isinstance(name, str) else None
            if session is None:
                raise SettingError("this session has ended: load the page again")
            session.used = time.monotonic()
            return session
