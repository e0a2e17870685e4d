"""Embedding of texts by what they make active in one layer of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer
from activome._progress import Progress, silent
from activome.activity.pooling import pooled_codes
from activome.activity.schema import Activity
from activome.activity.stacking import to_samples
from activome.errors import ActivityError, ParameterError
from activome.interventions._inputs import accepted
from activome.interventions.recording import record
from activome.interventions.selectors import Sel
from activome.interventions.taps import Taps

__all__ = ["ActivationEmbedder"]

_GROUP = 256  # texts recorded before their codes are pooled, so that memory stays bounded


class ActivationEmbedder(TransformerMixin, BaseEstimator):
    """Represent each text by the components that its tokens make active in a network.

    The tokens of a text are recorded at the output of one block, each is encoded by a sparse
    autoencoder, and the codes are averaged over the text. Each place of the result stands for one
    component, so that two texts are alike where the network takes them alike, whatever their words.

    Parameters
    ----------
    model : torch.nn.Module
        Network that takes token ids.
    tokenizer : object
        With ``encode``, from a text to token ids.
    layer : int, default=-2
        Block whose output is read, from 0; negative numbers count from the last.
    sae : SparseAutoencoder, optional
        Encoder of tokens: with ``sparse_code``, or with ``transform``. One that is fitted is used
        as it is, another is trained by ``fit``. By default the activity itself is averaged.
    k : int, optional
        Active components per token, if other than in the training. The share of components counts,
        not their number: the published 192 of 131,072 are 7 of 4608.
    pool : {"mean", "max"}, default="mean"
        How tokens are pooled. A sum would favour texts of the length of the target.
    skip_first : bool, default=True
        Leave the first token out, whose activity in language models is the same, and huge, for
        every text.
    max_length : int, optional
        Tokens that are read of each text; by default all.
    max_tokens : int, default=2048
        Tokens per pass of the network.
    progress : Progress, default=silent
        Told of the texts done.

    Attributes
    ----------
    sae_ : object
        The encoder that is used; None without one.

    Raises
    ------
    ParameterError
        If a parameter is out of range or unknown, such as a layer that the network has not.
    ActivityError
        If there is no text, one has no token left or more than the network reads, activations are
        not finite, or the encoder is not fitted.

    Notes
    -----
    One pass of the network per text; texts of like length go together. Memory is bounded by 256
    texts at a time. Texts of one to three tokens have extreme codes, since there is little to
    average.

    References
    ----------
    .. [1] D. Ma, G. Shang, Z. Chen, L. Qin, Y. Luo, H. Xu, L. Pan, S. Fan, K. Yu and L. Chen,
       "Task-specific data selection for instruction tuning via monosemantic neuronal activations",
       2025.

    Examples
    --------
    >>> import torch
    >>> from activome.networks import TinyGPT, seed_everything
    >>> class Letters:
    ...     def encode(self, text):
    ...         return [ord(letter) for letter in text]
    >>> with seed_everything(0):
    ...     network = TinyGPT(vocab=128, context=16, d_model=8, n_heads=2, n_layers=3).eval()
    >>> ActivationEmbedder(network, Letters()).transform(["one text", "another"]).shape
    (2, 8)
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        layer: int = -2,
        sae: Any = None,
        *,
        k: int | None = None,
        pool: str = "mean",
        skip_first: bool = True,
        max_length: int | None = None,
        max_tokens: int = 2048,
        progress: Progress = silent,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.layer = layer
        self.sae = sae
        self.k = k
        self.pool = pool
        self.skip_first = skip_first
        self.max_length = max_length
        self.max_tokens = max_tokens
        self.progress = progress

    def fit(self, X: Sequence[str], y: Any = None) -> Self:
        """Train the encoder on the tokens of some texts, unless it is fitted already.

        Parameters
        ----------
        X : sequence of str
            Texts; the more and the more varied, the better the components.
        y : None
            Ignored.

        Returns
        -------
        Self
            The embedder.

        Raises
        ------
        ParameterError
            If a parameter is out of range or unknown.
        ActivityError
            If there is no text, one has no token left, or activations are not finite.
        """
        self.sae_ = self.sae
        if self.sae is not None and not _is_fitted(self.sae):
            ids = self._ids(X, "fit")
            rows = [to_samples(part)[0] for part in self._parts(ids, self._groups(ids))]
            self.sae_ = clone(self.sae).fit(np.concatenate(rows))
        return self

    def record(self, texts: Sequence[str]) -> Activity:
        """Return the activity of the tokens of some texts, such as to train an encoder.

        Parameters
        ----------
        texts : sequence of str
            Texts.

        Returns
        -------
        xarray.DataArray of float32
            Activity (trial, time, unit): texts, tokens, and units of the block's output; without
            the first token where ``skip_first`` is set. What is no token is not valid.

        Raises
        ------
        ParameterError
            If a parameter is out of range or unknown.
        ActivityError
            If there is no text, or one has no token left.
        """
        return self._record(self._ids(texts, "record"))

    def transform(self, X: Sequence[str]) -> Any:
        """Return the code of each text.

        Parameters
        ----------
        X : sequence of str
            Texts.

        Returns
        -------
        scipy.sparse.csr_array or ndarray, shape (n_texts, n_components)
            Sparse where the encoder has ``sparse_code``; with shape (n_texts, n_units) without an
            encoder.

        Raises
        ------
        ParameterError
            If a parameter is out of range or unknown.
        ActivityError
            If there is no text, one has no token left, activations are not finite, or the encoder
            is not fitted.
        """
        encoder = getattr(self, "sae_", self.sae)
        if encoder is not None and not _is_fitted(encoder):
            raise ActivityError(
                f"ActivationEmbedder.transform: the encoder must be fitted; this "
                f"{type(encoder).__name__} is not. Call fit with texts, or give a fitted one."
            )
        options: dict[str, Any] = {"k": self.k, "pool": self.pool}
        ids = self._ids(X, "transform")
        groups = self._groups(ids)
        codes = [pooled_codes(part, encoder, **options) for part in self._parts(ids, groups)]
        order = np.argsort(np.concatenate(groups))
        if sparse.issparse(codes[0]):
            return sparse.csr_array(sparse.vstack(codes, format="csr"))[order]
        return np.concatenate(codes)[order]

    def _ids(self, texts: Sequence[str], caller: str) -> list[list[int]]:
        owner = f"ActivationEmbedder.{caller}"
        check_choice(self.pool, ("mean", "max"), name="pool", owner=owner)
        for name in ("k", "max_length"):
            if getattr(self, name) is not None:
                check_integer(getattr(self, name), name=name, owner=owner, low=1)
        check_integer(self.max_tokens, name="max_tokens", owner=owner, low=1)
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise ActivityError(f"{owner}: texts must be a sequence of str; got {texts!r:.60}.")
        encode = getattr(self.tokenizer, "encode", self.tokenizer)
        found = [encode(str(text)) for text in texts]
        ids = [list(getattr(item, "ids", item))[: self.max_length] for item in found]
        if not ids:
            raise ActivityError(f"{owner}: needs at least one text; got none.")
        least = 1 + bool(self.skip_first)
        for number, item in enumerate(ids):
            if len(item) < least:
                raise ActivityError(
                    f"{owner}: every text must have {least} or more tokens; text {number}, "
                    f"{texts[number]!r:.40}, has {len(item)}. Leave it out"
                    f"{', or set skip_first=False' if item else ''}."
                )
        self._refuse_long(ids, owner)
        return ids

    def _refuse_long(self, ids: list[list[int]], owner: str) -> None:
        config = getattr(self.model, "config", None)
        found = getattr(config, "max_position_embeddings", getattr(self.model, "context", None))
        longest = max(range(len(ids)), key=lambda row: len(ids[row]))
        if isinstance(found, int) and len(ids[longest]) > found:
            raise ActivityError(
                f"{owner}: texts must have at most the {found} tokens that the network reads; text "
                f"{longest} has {len(ids[longest])}. Cut it, or set max_length={found}."
            )

    def _groups(self, ids: list[list[int]]) -> list[list[int]]:
        """Return the places of the texts that are recorded together."""
        rows = range(len(ids))
        if {"attention_mask", "**"} & accepted(self.model):
            return [list(rows[start : start + _GROUP]) for start in range(0, len(ids), _GROUP)]
        # Without a mask the padding of shorter texts would be taken for tokens.
        alike: dict[int, list[int]] = {}
        for row in rows:
            alike.setdefault(len(ids[row]), []).append(row)
        return [
            group[start : start + _GROUP]
            for group in alike.values()
            for start in range(0, len(group), _GROUP)
        ]

    def _parts(self, ids: list[list[int]], groups: list[list[int]]) -> Iterator[Activity]:
        done = 0
        for group in groups:
            yield self._record([ids[row] for row in group])
            done += len(group)
            self.progress("embedding", done, len(ids))

    def _record(self, ids: list[list[int]]) -> Activity:
        found: Activity = record(
            self.model,
            ids,
            self._site(),
            at=Sel(pos="all_but_first") if self.skip_first else None,
            max_tokens=self.max_tokens,
        )
        return found

    def _site(self) -> str:
        n_layers = len(Taps(self.model).sites("resid_post[*]"))
        layer = check_integer(self.layer, name="layer", owner="ActivationEmbedder")
        if not -n_layers <= layer < n_layers:
            raise ParameterError(
                f"ActivationEmbedder: layer must be one of the {n_layers} blocks, {-n_layers} to "
                f"{n_layers - 1}; got {layer}."
            )
        return f"resid_post[{layer % n_layers}]"


def _is_fitted(encoder: Any) -> bool:
    try:
        check_is_fitted(encoder)
    except NotFittedError:
        return False
    return True
