"""Pictures of features: where they are strongest, what they write, and how often they are on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome.patterns.feature_reading import Context, FeatureTokens, feature_contexts

__all__ = ["plot_feature"]

_RAISED, _LOWERED = "#1b6ca8", "#c8553d"
_LINE_WIDTH = 84  # characters that fit in the column of contexts


def plot_feature(
    coef: ArrayLike,
    labels: Sequence[Any] | None = None,
    *,
    component: int,
    tokens: FeatureTokens | None = None,
    sequence: ArrayLike | None = None,
    n_contexts: int = 8,
    window: int = 15,
    min_gap: int = 1,
    title: str | None = None,
    figure: Any = None,
) -> Any:
    """Draw the page of one feature: contexts, words moved, and the histogram of its use.

    Parameters
    ----------
    coef : array-like of float, shape (n_samples, n_components)
        Coefficients, at least 0, of samples in order.
    labels : sequence, shape (n_samples,), optional
        What each sample is, such as its token; by default its number.
    component : int
        Which component.
    tokens : FeatureTokens, optional
        Words that the feature raises and lowers, of ``feature_tokens``; left out without.
    sequence : array-like, shape (n_samples,), optional
        Prompt or trial of each sample.
    n_contexts, window, min_gap : int
        As in ``feature_contexts``; default 8, 15 and 1.
    title : str, optional
        By default the number of the component.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        Contexts are lines of text, each sample shaded by its coefficient, and the strong one of
        each bold: it is found without colours too.

    Raises
    ------
    ActivityError
        As ``feature_contexts``.
    ParameterError
        As ``feature_contexts``.

    Examples
    --------
    >>> words = "on monday we met on friday".split()
    >>> coef = [[0.0], [3.0], [0.0], [0.0], [0.0], [2.0]]
    >>> figure = plot_feature(coef, words, component=0, window=3)
    >>> figure.axes[0].get_title(loc="left"), len(figure.axes)
    ('component 0: strongest contexts', 2)
    >>> from matplotlib import pyplot as plt
    >>> plt.close(figure)
    """
    contexts = feature_contexts(
        coef,
        labels,
        component=component,
        n_contexts=n_contexts,
        window=window,
        min_gap=min_gap,
        sequence=sequence,
    )
    values = np.asarray(coef, dtype=np.float64)[:, component]
    if figure is None:
        from matplotlib import pyplot as plt

        height = max(2.6, 0.9 + 0.27 * n_contexts)
        figure = plt.figure(figsize=(11.0, height), layout="constrained")
    widths = (2.6, 1.2, 1.0) if tokens is not None else (2.6, 1.0)
    axes = figure.subplots(1, len(widths), width_ratios=widths)
    _draw_contexts(axes[0], contexts, n_contexts)
    name = f"component {component}" if title is None else title
    axes[0].set_title(f"{name}: strongest contexts", fontsize=10, loc="left")
    if tokens is not None:
        _draw_words(axes[1], tokens)
    _draw_use(axes[-1], values)
    return figure


def _draw_contexts(axis: Any, contexts: Sequence[Context], n_lines: int) -> None:
    axis.set(xlim=(0, _LINE_WIDTH), ylim=(n_lines - 0.4, -0.6))
    axis.axis("off")
    top = contexts[0].value if contexts else 1.0
    for row, context in enumerate(contexts):
        pieces = [_readable(label) for label in context.labels]
        place = context.sample - context.start
        # Cut from both ends, so that the strong sample stays in sight.
        left, right = _room(pieces, place)
        x = 0.0
        for i in range(left, right):
            share = float(context.values[i]) / top
            axis.text(
                x,
                row,
                pieces[i],
                fontsize=7.5,
                family="monospace",
                va="center",
                weight="bold" if i == place else "normal",
                bbox={"facecolor": _RAISED, "alpha": 0.65 * share, "pad": 1.2, "lw": 0},
            )
            x += len(pieces[i]) + 1.0


def _room(pieces: Sequence[str], place: int) -> tuple[int, int]:
    left, right = place, place + 1
    used = len(pieces[place]) + 1
    while True:
        before = left > 0 and used + len(pieces[left - 1]) + 1 <= _LINE_WIDTH
        if before:
            left -= 1
            used += len(pieces[left]) + 1
        after = right < len(pieces) and used + len(pieces[right]) + 1 <= _LINE_WIDTH
        if after:
            used += len(pieces[right]) + 1
            right += 1
        if not before and not after:
            return left, right


def _readable(label: Any) -> str:
    # Byte-level vocabularies write the space before a word as a letter, others as a low line.
    text = str(label).replace("\u0120", "").replace("\u2581", "").replace("\u010a", "\\n")
    # A dollar would start a formula.
    return text.replace("$", r"\$") or "\u2423"


def _draw_words(axis: Any, tokens: FeatureTokens) -> None:
    words = [*tokens.raised, *reversed(tokens.lowered)]
    logits = [*tokens.raised_logits, *reversed(tokens.lowered_logits)]
    colours = [_RAISED] * len(tokens.raised) + [_LOWERED] * len(tokens.lowered)
    axis.barh(range(len(words)), logits, color=colours, height=0.75)
    names = [_readable(word.strip() or word) for word in words]
    axis.set_yticks(range(len(words)), names, fontsize=7)
    axis.set_ylim(len(words) - 0.4, -0.6)
    axis.axvline(0.0, color="0.3", lw=0.8)
    axis.set_xlabel("logit per unit length", fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    axis.set_title("words moved", fontsize=10)


def _draw_use(axis: Any, values: Any) -> None:
    used = values[values > 0]
    share = used.size / values.size
    if used.size:
        axis.hist(used, bins=min(40, max(5, int(np.sqrt(used.size)))), color="0.45")
        axis.set_yscale("log")
    axis.set_xlabel(f"coefficient, where above 0\n({share:.1%} of samples)", fontsize=8)
    axis.set_ylabel("samples", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.set_title("use", fontsize=10)
