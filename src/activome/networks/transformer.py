"""Small transformers whose parts have names: causal, with explicit or fused attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import nn

from activome._checks import check_choice, check_integer, check_number
from activome.errors import ParameterError
from activome.networks._transformer_parts import Block, make_norm

__all__ = ["AttentionOnly", "TinyGPT"]


class TinyGPT(nn.Module):
    """Causal transformer for sequences of tokens or of vectors.

    A stack of blocks on a residual stream: norm, attention, add; norm, MLP, add; a last norm, and a
    linear map to logits. Small enough to train on one core, and every place where a tensor flows
    has a name (``tap_sites``), so that it can be recorded and edited like a language model.

    Parameters
    ----------
    vocab : int
        Number of tokens, and of logits. With ``inputs="vectors"`` the number of outputs.
    context : int
        Most positions of a sequence.
    d_model : int, default=64
        Width of the residual stream.
    n_heads : int, default=4
        Heads of each attention; they share ``d_model`` evenly.
    n_layers : int, default=2
        Blocks.
    mlp_ratio : float or None, default=4
        Width of the MLP over ``d_model``; None leaves the MLP out.
    positions : {"learned", "rotary", "none"}, default="learned"
        How positions are told apart. "rotary" turns queries and keys by angles in proportion to the
        position, the first half of a head against the second.
    norm : {"layer", "rms", "none"}, default="layer"
        Norm before each attention and MLP and before the logits.
    mlp : {"gelu", "swiglu"}, default="gelu"
        One hidden layer, or a hidden layer gated by another (SiLU).
    attention : {"explicit", "fused"}, default="explicit"
        "explicit" has scores and pattern as sites, "fused" is torch's kernel, which hides them.
    tied : bool, default=True
        Whether logits are read with the embedding of the tokens; vectors are never tied.
    inputs : {"tokens", "vectors"}, default="tokens"
        Whether the input is token ids or vectors of ``d_in`` numbers.
    d_in : int, optional
        Size of the vectors.
    bias : bool, default=True
        Whether linear maps and layer norms have a bias; rms norms never have.
    init : {"gpt", "lecun"}, default="gpt"
        "gpt": normal with standard deviation 0.02, maps back into the stream divided by
        sqrt(2 n_layers). "lecun": standard deviation 1 / sqrt(inputs), embeddings 0.02.
    norm_eps : float, default=1e-5
        Added to the variance in norms.
    rotary_base : float, default=10000
        Longest wavelength of the rotary positions over 2 pi.

    Attributes
    ----------
    config : dict
        Arguments that build the same network with ``from_config``.

    Raises
    ------
    ParameterError
        If a size is not positive, ``d_model`` is no multiple of ``n_heads``, a name is unknown, the
        heads have an odd size with rotary positions, or vectors come without ``d_in``.

    Notes
    -----
    Weights are drawn from torch's generator: build inside ``seed_everything``. Norm before the
    branch and one linear map for each of queries, keys and values are our choice.

    References
    ----------
    .. [1] A. Radford, J. Wu, R. Child, D. Luan, D. Amodei and I. Sutskever, "Language models are
       unsupervised multitask learners", 2019.
    .. [2] J. Su, Y. Lu, S. Pan, B. Wen and Y. Liu, "RoFormer: enhanced transformer with rotary
       position embedding", 2021.
    .. [3] N. Shazeer, "GLU variants improve transformer", 2020.

    Examples
    --------
    >>> import torch
    >>> from activome.networks import seed_everything
    >>> with seed_everything(0):
    ...     network = TinyGPT(vocab=10, context=8, d_model=16)
    >>> tuple(network(torch.tensor([[1, 2, 3]])).shape)
    (1, 3, 10)
    """

    tap_sites: Mapping[str, Any] = {
        "embed": "embed#out",
        "resid_pre": "blocks.*#in",
        "resid_post": "blocks.*#out",
        "resid_mid": ("blocks.*.norm_mlp#in", {"is_editable": False}),
        "attn_in": "blocks.*.attention#in",
        "q": ("blocks.*.attention.query#out", {"heads": "attention.n_heads"}),
        "k": ("blocks.*.attention.key#out", {"heads": "attention.n_heads"}),
        "v": ("blocks.*.attention.value#out", {"heads": "attention.n_heads"}),
        "attn_scores": ("blocks.*.attention.scores#out", {"layout": "pattern"}),
        "attn_pattern": ("blocks.*.attention.pattern#out", {"layout": "pattern"}),
        "head_out": ("blocks.*.attention.output#in", {"heads": "attention.n_heads"}),
        "attn_out": "blocks.*.attention#out",
        "mlp_pre": "blocks.*.mlp.pre#out",
        "mlp_up": "blocks.*.mlp.up#out",
        "mlp_hidden": "blocks.*.mlp.down#in",
        "mlp_out": "blocks.*.mlp#out",
        "logits": "unembed#out",
    }

    def __init__(
        self,
        vocab: int,
        context: int,
        d_model: int = 64,
        n_heads: int = 4,
        n_layers: int = 2,
        *,
        mlp_ratio: float | None = 4,
        positions: str = "learned",
        norm: str = "layer",
        mlp: str = "gelu",
        attention: str = "explicit",
        tied: bool = True,
        inputs: str = "tokens",
        d_in: int | None = None,
        bias: bool = True,
        init: str = "gpt",
        norm_eps: float = 1e-5,
        rotary_base: float = 10000.0,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        self.config: dict[str, Any] = {
            "vocab": vocab,
            "context": context,
            "d_model": d_model,
            "n_heads": n_heads,
            "n_layers": n_layers,
            "mlp_ratio": mlp_ratio,
            "positions": positions,
            "norm": norm,
            "mlp": mlp,
            "attention": attention,
            "tied": tied,
            "inputs": inputs,
            "d_in": d_in,
            "bias": bias,
            "init": init,
            "norm_eps": norm_eps,
            "rotary_base": rotary_base,
        }
        _check(self.config, owner)
        self.vocab, self.context, self.n_layers = vocab, context, n_layers
        self.embed: nn.Module = (
            nn.Linear(int(d_in or 0), d_model, bias=bias)
            if inputs == "vectors"
            else nn.Embedding(vocab, d_model)
        )
        self.position = nn.Embedding(context, d_model) if positions == "learned" else None
        self.blocks = nn.ModuleList(Block(self.config) for _ in range(n_layers))
        self.norm = make_norm(self.config)
        is_tied = tied and inputs == "tokens"
        self.unembed = nn.Linear(d_model, vocab, bias=bias and not is_tied)
        self._start(init)
        if is_tied:
            self.unembed.weight = self.embed.weight

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build a network from the ``config`` of another one.

        Parameters
        ----------
        config : mapping of str to object
            Arguments by name.

        Returns
        -------
        Self
            A network with weights of its own.
        """
        return cls(**config)

    def _start(self, init: str) -> None:
        into_stream = {
            id(part)
            for block in self.blocks
            for name, part in block.named_modules()
            if name in ("attention.output", "mlp.down")
        }
        for part in self.modules():
            if isinstance(part, nn.Embedding):
                nn.init.normal_(part.weight, std=0.02)
            elif isinstance(part, nn.Linear):
                std = 0.02 if init == "gpt" else 1.0 / math.sqrt(part.in_features)
                if init == "gpt" and id(part) in into_stream:
                    std /= math.sqrt(2 * self.n_layers)
                nn.init.normal_(part.weight, std=std)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits of what follows each position.

        Parameters
        ----------
        inputs : Tensor of int64 (n_sequences, n_positions), or float (..., n_positions, d_in)
            Token ids, or vectors.

        Returns
        -------
        Tensor of float32, shape (n_sequences, n_positions, vocab)
            Logits; those at a position depend on it and earlier ones alone.

        Raises
        ------
        ParameterError
            If there are more positions than ``context``, a token id is not in the vocabulary, or
            the input has another form.
        """
        self._check_inputs(inputs)
        stream = self.embed(inputs)
        if self.position is not None:
            stream = stream + self.position.weight[: inputs.shape[1]]
        for block in self.blocks:
            stream = block(stream)
        logits: torch.Tensor = self.unembed(self.norm(stream))
        return logits

    def _check_inputs(self, inputs: torch.Tensor) -> None:
        owner = f"{type(self).__name__}.forward"
        is_vectors = self.config["inputs"] == "vectors"
        n_axes = 3 if is_vectors else 2
        if inputs.ndim != n_axes or inputs.is_floating_point() != is_vectors:
            wanted = (
                "vectors (sequence, position, d_in)" if is_vectors else "ids (sequence, position)"
            )
            raise ParameterError(
                f"{owner}: the input must be {wanted}; got {inputs.dtype} of shape "
                f"{tuple(inputs.shape)}."
            )
        if is_vectors and inputs.shape[2] != self.config["d_in"]:
            raise ParameterError(
                f"{owner}: vectors must have {self.config['d_in']} numbers; got {inputs.shape[2]}."
            )
        if not 1 <= inputs.shape[1] <= self.context:
            raise ParameterError(
                f"{owner}: sequences must have 1 to {self.context} positions (context); got "
                f"{inputs.shape[1]}. Cut them, or build the network with a longer context."
            )
        if is_vectors or inputs.numel() == 0:
            return
        low, high = (int(edge) for edge in torch.aminmax(inputs))
        if low < 0 or high >= self.vocab:
            raise ParameterError(
                f"{owner}: token ids must be 0 to {self.vocab - 1}; got "
                f"{high if high >= self.vocab else low}."
            )


class AttentionOnly(TinyGPT):
    """Transformer without MLPs: a ``TinyGPT`` whose blocks hold attention alone.

    Its parts are few enough to be read one by one, such as the heads that copy what followed an
    earlier occurrence.

    Parameters
    ----------
    vocab, context : int
        As in ``TinyGPT``.
    d_model : int, default=64
        Width of the residual stream.
    n_heads : int, default=8
        Heads of each attention.
    n_layers : int, default=2
        Blocks.
    **options : object
        Further arguments of ``TinyGPT``, but for those of the MLP.

    Raises
    ------
    ParameterError
        As ``TinyGPT``; or if an MLP is asked for.

    Examples
    --------
    >>> import torch
    >>> from activome.networks import seed_everything
    >>> with seed_everything(0):
    ...     network = AttentionOnly(5, 5, inputs="vectors", d_in=12, positions="rotary")
    >>> tuple(network(torch.zeros(2, 5, 12)).shape)
    (2, 5, 5)
    """

    def __init__(
        self,
        vocab: int,
        context: int,
        d_model: int = 64,
        n_heads: int = 8,
        n_layers: int = 2,
        **options: Any,
    ) -> None:
        if options.setdefault("mlp_ratio", None) is not None:
            raise ParameterError(
                f"AttentionOnly: mlp_ratio must be None; got {options['mlp_ratio']!r}. Use TinyGPT."
            )
        super().__init__(vocab, context, d_model, n_heads, n_layers, **options)


def _check(config: Mapping[str, Any], owner: str) -> None:
    for name in ("vocab", "context", "d_model", "n_heads", "n_layers"):
        check_integer(config[name], name=name, owner=owner, low=1)
    for name, choices in _CHOICES.items():
        check_choice(config[name], choices, name=name, owner=owner)
    if config["mlp_ratio"] is not None:
        check_number(config["mlp_ratio"], name="mlp_ratio", owner=owner, low=0.0)
    check_number(config["norm_eps"], name="norm_eps", owner=owner, low=0.0, include_low=True)
    check_number(config["rotary_base"], name="rotary_base", owner=owner, low=0.0)
    d_model, n_heads = config["d_model"], config["n_heads"]
    if d_model % n_heads:
        raise ParameterError(
            f"{owner}: d_model must be a multiple of n_heads; got {d_model} and {n_heads}."
        )
    if config["positions"] == "rotary" and (d_model // n_heads) % 2:
        raise ParameterError(
            f"{owner}: rotary positions need heads of an even size; d_model / n_heads is "
            f"{d_model // n_heads}."
        )
    if (config["inputs"] == "vectors") != (config["d_in"] is not None):
        raise ParameterError(
            f"{owner}: d_in is the size of vectors, and goes with inputs='vectors' alone; got "
            f"inputs={config['inputs']!r}, d_in={config['d_in']!r}."
        )
    if config["d_in"] is not None:
        check_integer(config["d_in"], name="d_in", owner=owner, low=1)


_CHOICES = {
    "positions": ("learned", "rotary", "none"),
    "norm": ("layer", "rms", "none"),
    "mlp": ("gelu", "swiglu"),
    "attention": ("explicit", "fused"),
    "inputs": ("tokens", "vectors"),
    "init": ("gpt", "lecun"),
}
