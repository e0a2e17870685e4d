"""Tokenizers in GGUF files: byte-level pair encoding, from its vocabulary and merges."""

from __future__ import annotations

from typing import Any

from activome._extras import require
from activome.errors import ReadError
from activome.networks._gguf_header import GGUFHeader

__all__ = ["tokenizer_of"]

_CONTROL, _USER_DEFINED = 3, 4
# Names of ways to cut text before pairs are merged, and whether digits are cut one by one first.
_CUTS_DIGITS = {"smollm": True, "gpt-2": False, "default": False}


def tokenizer_of(header: GGUFHeader, n_rows: int, *, owner: str) -> Any:
    """Return the tokenizer of a file as a ``transformers.PreTrainedTokenizerFast``.

    Raises
    ------
    ReadError
        If it is of another kind than byte-level pair encoding, or its lists do not fit each other.
    """
    library = require("tokenizers", extra="llm", owner=owner)
    transformers = require("transformers", extra="llm", owner=owner)
    fields = {name.removeprefix("tokenizer.ggml."): value for name, value in header.fields.items()}
    kind, cut = fields.get("model"), fields.get("pre", "default")
    if kind != "gpt2" or cut not in _CUTS_DIGITS:
        raise _refusal(header, owner, f"it is {kind!r} with cuts {cut!r}")
    tokens, pairs = _lists(fields, header, n_rows, owner)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    found = library.Tokenizer(library.models.BPE(vocab=vocabulary, merges=pairs))
    cuts = [library.pre_tokenizers.ByteLevel(add_prefix_space=False)]
    if _CUTS_DIGITS[cut]:
        cuts.insert(0, library.pre_tokenizers.Digits(individual_digits=True))
    found.pre_tokenizer = library.pre_tokenizers.Sequence(cuts)
    found.decoder = library.decoders.ByteLevel()
    for token, sort in zip(tokens, fields.get("token_type", [1] * len(tokens)), strict=True):
        if sort == _CONTROL:
            found.add_special_tokens([library.AddedToken(token, special=True)])
        elif sort == _USER_DEFINED:
            found.add_tokens([library.AddedToken(token, normalized=False)])
    names = {}
    for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        number = fields.get(f"{key}_token_id")
        if isinstance(number, int) and 0 <= number < len(tokens):
            names[f"{name}_token"] = tokens[number]
    if fields.get("add_bos_token") is True and "bos_token" in names:
        bos = names["bos_token"]
        found.post_processor = library.processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, vocabulary[bos])]
        )
    template = header.fields.get("tokenizer.chat_template")
    extra = {"chat_template": template} if isinstance(template, str) else {}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=found, clean_up_tokenization_spaces=False, **names, **extra
    )


def _lists(
    fields: dict[str, Any], header: GGUFHeader, n_rows: int, owner: str
) -> tuple[list[str], list[tuple[str, str]]]:
    tokens, merges = fields.get("tokens"), fields.get("merges")
    if not isinstance(tokens, list) or not isinstance(merges, list) or len(tokens) > n_rows:
        raise _refusal(
            header,
            owner,
            f"its tokens or merges are missing, or more than {n_rows} rows of weights",
        )
    known = set(tokens)
    if len(known) != len(tokens) or len(fields.get("token_type", tokens)) != len(tokens):
        raise _refusal(header, owner, "a token is there twice, or the list of their types is cut")
    pairs: list[tuple[str, str]] = []
    for merge in merges:
        left, _, right = merge.partition(" ")
        if not {left, right, left + right} <= known:
            raise _refusal(header, owner, f"the merge {merge!r} is of tokens that it lacks")
        pairs.append((left, right))
    return tokens, pairs


def _refusal(header: GGUFHeader, owner: str, detail: str) -> ReadError:
    return ReadError(
        f"{owner}: the tokenizer in {header.path} must be byte-level pair encoding; {detail}. Put "
        "the tokenizer.json of the model beside the file."
    )
