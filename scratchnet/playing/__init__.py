"""The page of `python -m scratchnet.play`: the engine's side, and the page itself.

Every view of the page is a class whose actions turn a message into plain data, without
a browser or a server: `digits.py` (upon `drawing.py`), `plane.py`, `remembering.py`.
`sessions.py` keeps one set of views for each tab, `server.py` speaks HTTP, and `page/`
holds what the browser gets.
"""
