"""Parameters from text: by annotation, by default, by documented choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest

from activome._random import RandomState
from activome.cli._parameters import parse_parameters
from activome.errors import ParameterError


class Example:
    """Take arguments of every kind.

    Parameters
    ----------
    mode : {"fast", "slow"}, default="fast"
        Checked.
    law : {"a", "b"} or callable
        Not checked.
    """

    def __init__(
        self,
        n: int = 2,
        mode: str = "fast",
        law: str | Callable[[], None] = "a",
        *,
        rate: float | None = None,
        ranks: tuple[int, ...] = (2, 1),
        sizes: Sequence[float] | int = 3,
        is_on: bool = False,
        side: Literal["left", "right"] = "left",
        random_state: RandomState = None,
        anything: Any = None,
        function: Callable[[], None] | None = None,
        net: Example | Callable[[], None] = print,
    ) -> None:
        pass


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n=3", 3),
        ("n=-3", -3),
        ("mode=slow", "slow"),
        ("law=c", "c"),
        ("rate=1e-3", 1e-3),
        ("rate=3", 3),
        ("rate=none", None),
        ("ranks=4,2", (4, 2)),
        ("ranks=(4, 2)", (4, 2)),
        ("ranks=4,", (4,)),
        ("ranks=[4]", (4,)),
        ("sizes=0.5,2", (0.5, 2)),
        ("sizes=4", 4),
        ("is_on=true", True),
        ("is_on=No", False),
        ("side=right", "right"),
        ("random_state=7", 7),
        ("random_state=none", None),
        ("anything=x=y", "x=y"),
        ("anything=1,2.5,a", (1, 2.5, "a")),
        ("function=none", None),
    ],
)
def test_value(text: str, value: Any) -> None:
    found = parse_parameters(Example, [text], owner="run")
    (given,) = found.values()
    assert given == value
    assert type(given) is type(value)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["n=2.5"], "n of Example must be an integer; got '2.5'"),
        (["n=true"], "must be an integer"),
        (["mode=fst"], "Did you mean 'fast'"),
        (["rate=x"], "must be none or a number"),
        (["ranks=a,b"], "separated by commas"),
        (["is_on=2"], "true or false"),
        (["net=3"], "Call the method from Python"),
        (["n"], "name=value"),
        (["=3"], "name=value"),
        (["rat=3"], "Did you mean 'rate'"),
        (["n=1", "n=2"], "twice"),
    ],
)
def test_refusal(texts: list[str], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse_parameters(Example, texts, owner="run")
