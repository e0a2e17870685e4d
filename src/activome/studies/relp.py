"""Relevance patching: causal effects of all nodes at once, checked against patching one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy.stats import spearmanr

from activome.interventions.circuits import circuit_curve
from activome.interventions.relevance_rules import RelevanceRules
from activome.interventions.taps import Taps
from activome.networks.model_assets import ASSETS
from activome.studies import _relp_data
from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
_SITES = ("resid_pre", "attn_out", "mlp_out")
_TASKS = {"objects": "indirect objects", "agreement": "subject-verb agreement"}
_ESTIMATES = ("attribution", "RelP", "integrated gradients")
_RULES = ("norm", "identity", "half", "attention")
_CHOICES = {"all four": _RULES, "without attention": _RULES[:3], "gradient": ()}
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 400)
_TOP = 20
_STEPS = 5


def run(study: Study) -> None:
    """Measure the claims of relevance patching and draw them.

    Parameters
    ----------
    study : Study
        The bench to run on. Full size: 20 random gated networks; two tasks on SmolLM2 with two
        pairs of prompts each, at all layers, with circuits. Smoke: two networks, and one task with
        one pair at three layers.
    """
    _residual_networks(study)
    if not ASSETS["smollm2"].is_installed:
        study.not_run(
            "SmolLM2: all claims on a trained language model",
            threshold="as stated",
            reason=f"The model is not installed. Install it with: {ASSETS['smollm2'].command}",
        )
        return
    torch.set_num_threads(1)
    n_pairs = 2 if study.is_full else 1
    names = list(_TASKS) if study.is_full else ["objects"]
    found = {name: _one_task(study, name, n_pairs) for name in names}
    _conservation(study, n_pairs)
    _draw(study, found)


def _residual_networks(study: Study) -> None:
    seeds = [study.random_state + i for i in range(20 if study.is_full else 2)]
    found = study.map("residual networks", _relp_data.residual_network, seeds)
    relp, plain = (np.array([entry[name] for entry in found]) for name in ("RelP", "attribution"))
    title = "random gated residual networks (3 blocks, d 32): stream before block"
    for block, wanted in enumerate((0.55, 0.65, 0.8)):
        study.claim(
            f"{title} {block + 1}, RelP r, mean of {len(seeds)}",
            float(relp[:, block].mean()),
            at_least=wanted,
            note=f"attribution patching {plain[:, block].mean():.3f}",
        )
        study.claim(
            f"{title} {block + 1}, RelP r less that of attribution patching",
            float((relp - plain)[:, block].mean()),
            at_least=0.4,
        )
    study.claim(
        "random gated residual networks: share in which RelP is better at every block",
        float((relp > plain).all(axis=1).mean()),
        at_least=0.9,
    )
    errors = study.map("conservation in residual networks", residual_conservation, seeds)
    study.claim(
        "random gated residual networks: conservation, largest relative error",
        max(errors),
        at_most=1e-10,
    )


def residual_conservation(seed: int) -> float:
    """Return the largest relative error of the sum of relevances before any block."""
    network = _relp_data.GatedResidual(seed)
    generator = torch.Generator().manual_seed(seed + 1000)
    stream = torch.randn(64, 32, generator=generator, dtype=torch.float64)
    shares = relevance_shares(network, stream, torch.sum, ("norm", "identity", "half"))
    return float(np.abs(shares - 1).max())


def relevance_shares(model: Any, inputs: Any, metric: Any, rules: Any) -> Array:
    """Return, per layer, the sum of stream times relevance as a share of the metric."""
    taps = Taps(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    start = inputs.clone().requires_grad_() if inputs.is_floating_point() else inputs
    with RelevanceRules(model, rules), taps.record("resid_pre", grad=True) as recording:
        if not inputs.is_floating_point():
            embed = model.get_input_embeddings()
            output = model(inputs_embeds=embed(inputs).requires_grad_(), use_cache=False)
            value = metric(output.logits[:, -1])
        else:
            value = metric(model(start))
        value.backward()
    sums = [
        (recording.tensor(s.label).detach().double() * recording.gradient(s.label).double()).sum()
        for s in recording.sites
    ]
    return np.array([float(total) for total in sums]) / float(value.detach())


def conservation(n_pairs: int, names: list[str]) -> dict[str, Array]:
    """Return the shares of all relevances at every layer, under several sets of rules."""
    given = _relp_data.task("objects", n_pairs)
    model = _relp_data.language_model().model
    return {
        name: relevance_shares(model, given.corrupted, given.metric, _CHOICES[name])
        for name in names
    }


def _conservation(study: Study, n_pairs: int) -> None:
    names = list(_CHOICES) if study.is_full else ["all four"]
    found = study.step("conservation", conservation, n_pairs, names)
    study.claim(
        "SmolLM2: conservation with all four rules, largest relative error over layers",
        float(np.abs(found["all four"] - 1).max()),
        at_most=1e-4,
    )
    if not study.is_full:
        return
    gradient = found["gradient"]
    study.note(
        "Sum of stream times gradient as a share of the metric, over layers: "
        f"{gradient.min():.2f} to {gradient.max():.2f} with the plain gradient, "
        f"{found['without attention'].min():.2f} to {found['without attention'].max():.2f} without "
        "the attention rule, 1 with all four."
    )


def _one_task(study: Study, name: str, n_pairs: int) -> dict[str, Any]:
    sites = list(_SITES)
    estimates = _ESTIMATES if study.is_full else _ESTIMATES[:2]
    exact_sites = sites if study.is_full else ["resid_pre[0,12,24]"]
    found: dict[str, Any] = {
        "exact": study.step(
            f"{name}: exact", _relp_data.effects, "exact", name, n_pairs, exact_sites
        )
    }
    for method in estimates:
        options = {"n_steps": _STEPS} if method == "integrated gradients" else {}
        found[method] = study.step(
            f"{name}: {method}", _relp_data.effects, method, name, n_pairs, sites, **options
        )
    if study.is_full:
        found["RelP + attention"] = study.step(
            f"{name}: all rules", _relp_data.effects, "RelP", name, n_pairs, sites, rules=_RULES
        )
    maps = {key: _relp_data.unpack(value) for key, value in found.items()}
    truth = maps["exact"]
    measures = {
        key: {
            site: agreement(truth.sel(site=site).values, _like(value, truth, site))
            for site in truth["site"].values.tolist()
        }
        for key, value in maps.items()
        if key != "exact"
    }
    _claim_metrics(study, name, truth, n_pairs)
    _claim_agreement(study, name, measures)
    _claim_time(study, name, found)
    circuits = _circuits(study, name, n_pairs, maps) if study.is_full else {}
    return {"maps": maps, "measures": measures, "circuits": circuits}


def _like(value: xr.DataArray, truth: xr.DataArray, site: str) -> Array:
    return np.asarray(value.sel(site=site, layer=truth["layer"]).values)


def agreement(truth: Array, estimate: Array) -> dict[str, float]:
    """Return Pearson's and Spearman's correlation and the share of the top 20 in common."""
    a, b = truth.ravel(), estimate.ravel()
    top = [set(np.argsort(-np.abs(x), kind="stable")[:_TOP].tolist()) for x in (a, b)]
    return {
        "pearson": float(np.corrcoef(a, b)[0, 1]),
        "spearman": float(spearmanr(a, b).statistic),
        "top": len(top[0] & top[1]) / _TOP,
    }


def _claim_metrics(study: Study, name: str, truth: xr.DataArray, n_pairs: int) -> None:
    title = f"{_TASKS[name]}, {2 * n_pairs} prompts: logit difference"
    clean, corrupted = (float(truth.attrs[f"{k}_metric"]) for k in ("clean", "corrupted"))
    if name == "objects":
        study.claim(f"{title}, clean", clean, at_least=4.0)
        study.claim(f"{title}, corrupted", corrupted, at_most=-4.0)
    else:
        study.claim(f"{title}, clean", clean, at_least=1.0)


def _claim_agreement(study: Study, name: str, measures: dict[str, Any]) -> None:
    wanted = {"resid_pre": 0.85, "attn_out": 0.95, "mlp_out": 0.85}
    papers = {"resid_pre": "0.968", "attn_out": "0.962", "mlp_out": "0.992"}
    gains = {"resid_pre": "+0.215", "mlp_out": "+0.797"}
    for site in measures["RelP"]:
        relp, plain = measures["RelP"][site], measures["attribution"][site]
        title = f"{_TASKS[name]}, {site}:"
        paper = f"{papers[site]} (GPT-2 small)" if name == "objects" else "-"
        if study.is_full:
            study.claim(
                f"{title} RelP r with exact patching",
                relp["pearson"],
                at_least=wanted[site],
                note=f"Spearman {relp['spearman']:.3f}, {_TOP * relp['top']:.0f} of the top {_TOP}",
                paper=paper,
            )
        if site in gains:
            paper = f"{gains[site]} (GPT-2 small)" if name == "objects" else "-"
            study.claim(
                f"{title} RelP r less that of attribution patching",
                relp["pearson"] - plain["pearson"],
                at_least=0.08,
                note=f"attribution patching {plain['pearson']:.3f}",
                paper=paper,
            )
    for method, sites in measures.items():
        study.note(
            f"{_TASKS[name]}, {method} against exact patching (Pearson, Spearman, share of the "
            f"top {_TOP}): "
            + "; ".join(
                f"{site} {m['pearson']:.3f}, {m['spearman']:.3f}, {m['top']:.2f}"
                for site, m in sites.items()
            )
            + "."
        )


def _claim_time(study: Study, name: str, found: dict[str, Any]) -> None:
    seconds = {key: float(value["cpu"]) for key, value in found.items()}
    if study.is_full:
        study.claim(
            f"{_TASKS[name]}: CPU time of RelP as a share of that of exact patching",
            seconds["RelP"] / seconds["exact"],
            at_most=0.02,
            note=", ".join(f"{key} {value:.1f} s" for key, value in seconds.items()),
        )


def circuit(name: str, n_pairs: int, scores: dict[str, Any], sizes: list[int]) -> dict[str, Any]:
    """Return the curves of the circuits that one method ranks first, on prompts it has not seen."""
    given = _relp_data.task(name, n_pairs, first=n_pairs)
    curve = circuit_curve(
        _relp_data.language_model().model,
        given.clean,
        given.corrupted,
        given.metric,
        _relp_data.unpack(scores),
        n_nodes=sizes,
        rank="positive",
    )
    return {key: curve[key].values for key in ("n_nodes", "faithfulness", "completeness")}


def _circuits(
    study: Study, name: str, n_pairs: int, maps: dict[str, xr.DataArray]
) -> dict[str, Any]:
    nodes = {key: maps[key].sel(site=["attn_out", "mlp_out"]) for key in ("exact", *_ESTIMATES)}
    shuffled = nodes["exact"].copy()
    rng = np.random.default_rng(study.random_state)
    shuffled.values = rng.permutation(shuffled.values.ravel()).reshape(shuffled.shape)
    nodes["random"] = shuffled
    sizes = [size for size in _SIZES if size < shuffled.size] + [shuffled.size]
    curves = {
        key: study.step(
            f"{name}: circuit by {key}", circuit, name, n_pairs, _relp_data.pack(value), sizes
        )
        for key, value in nodes.items()
    }
    miss = {
        key: float(np.abs(curve["faithfulness"][:-1] - 1).mean()) for key, curve in curves.items()
    }
    left = {key: float(curve["completeness"][:-1].mean()) for key, curve in curves.items()}
    title = f"{_TASKS[name]}, circuits of attn_out and mlp_out nodes, held-out prompts:"
    study.claim(
        f"{title} mean |1 - faithfulness| of RelP less that of integrated gradients",
        miss["RelP"] - miss["integrated gradients"],
        paper="about as faithful",
        at_most=0.05,
        note=", ".join(f"{key} {value:.3f}" for key, value in miss.items()),
    )
    study.claim(
        f"{title} mean |1 - faithfulness| of RelP less that of random nodes",
        miss["RelP"] - miss["random"],
        at_most=-0.2,
    )
    study.claim(
        f"{title} mean completeness of RelP less that of random nodes",
        left["RelP"] - left["random"],
        at_most=-0.2,
        note=", ".join(f"{key} {value:.3f}" for key, value in left.items()),
    )
    return curves


def _draw(study: Study, found: dict[str, Any]) -> None:
    from activome.studies._relp_figure import draw

    study.save_figure(draw(found, _TASKS))
