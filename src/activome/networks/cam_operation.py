"""Operations on the hippocampal memory, and how long each takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from activome._checks import check_choice
from activome.errors import ParameterError

__all__ = ["CAMOperation"]

# Steps that an input is held, and from the start of an operation to that of the next.
_TIMING = {"learn": (3, 7), "recall_cue": (1, 6), "recall_content": (1, 6)}


@dataclass(frozen=True)
class CAMOperation:
    """One operation on the memory.

    Parameters
    ----------
    kind : {"learn", "recall_cue", "recall_content"}
        Store, or recall by one of the two ends.
    cue : int, optional
        Index of the cue, for "learn" and "recall_cue".
    content : sequence of int, default=()
        Indices of the bits that are set, for "learn" and "recall_content".
    start : int, default=0
        Step at which the input begins.

    Raises
    ------
    ParameterError
        If the kind is unknown, or the cue or the content that it needs is missing.
    """

    kind: Literal["learn", "recall_cue", "recall_content"]
    cue: int | None = None
    content: tuple[int, ...] = ()
    start: int = 0

    def __post_init__(self) -> None:
        check_choice(self.kind, _TIMING, name="kind", owner="CAMOperation")
        if (self.cue is None) != (self.kind == "recall_content"):
            raise ParameterError(
                f"CAMOperation: {self.kind} "
                + ("takes no cue." if self.cue is not None else "needs a cue.")
            )
        if self.kind == "recall_content" and not self.content:
            raise ParameterError("CAMOperation: recall_content needs at least one bit of content.")
        if self.kind == "recall_cue" and self.content:
            raise ParameterError("CAMOperation: recall_cue takes no content.")

    @property
    def held(self) -> int:
        """Steps that the input is held."""
        return _TIMING[self.kind][0]

    @property
    def spacing(self) -> int:
        """Steps after which the next operation may start."""
        return _TIMING[self.kind][1]
