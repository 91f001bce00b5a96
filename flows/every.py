"""How often, in words: 30s, 5m, 2h, 1d."""

import re
from datetime import timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SHORTEST = timedelta(seconds=10)


def parse_every(text: str) -> timedelta:
    """Give the time that `text` names.

    Raises
    ------
    ValueError
        It is none, or it is shorter than ten seconds: a run takes some seconds to start.
    """
    if (match := re.fullmatch(r"(\d+)([smhd])", text.strip())) is None:
        raise ValueError(f"expected a number and s, m, h or d, such as 5m; found {text!r}")
    every = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if every < SHORTEST:
        raise ValueError(f"expected 10s or more; found {text!r}")
    return every
