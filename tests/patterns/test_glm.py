"""Regressions on history: against peers, closed forms, planted couplings, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from activome.errors import ActivityError, ConvergenceWarning, ParameterError
from activome.patterns._glm_newton import fit_dispersion, fit_newton, log_prob
from activome.patterns._history import exponential_basis, history_features, raised_cosine_basis
from activome.patterns.glm import PopulationGLM

Array = np.ndarray[Any, Any]


def couple(n_bins: int = 4000, seed: int = 0) -> Array:
    """Unit 0 drives unit 1 one bin later, which silences itself."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n_bins, 3))
    for t in range(1, n_bins):
        eta = np.array([-1.0, -1.5 + 1.2 * x[t - 1, 0] - 0.8 * x[t - 1, 1], -1.2])
        x[t] = rng.poisson(np.exp(eta))
    return x


def test_history_by_hand_and_at_borders() -> None:
    x = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [5.0, 5.0]])
    basis = np.array([[1.0, 0.5], [0.25, 0.0]])
    found = history_features(x, basis)
    wanted = [[0, 0, 0, 0], [1, 0.5, 0, 0], [2.25, 1, 0, 0], [0.5, 0, 3, 1.5]]
    np.testing.assert_array_equal(found, wanted)
    apart = history_features(x, basis, [0, 2, 4])
    np.testing.assert_array_equal(apart[2:], history_features(x[2:], basis))


def test_history_is_a_convolution() -> None:
    x = np.random.default_rng(0).poisson(1.0, size=(50, 1)).astype(float)
    basis = raised_cosine_basis(8, 3)
    found = history_features(x, basis)
    for k in range(3):
        whole = np.convolve(x[:, 0], np.concatenate([[0.0], basis[:, k]]))[:50]
        np.testing.assert_allclose(found[:, k], whole, atol=1e-12)


def test_bases() -> None:
    weights = exponential_basis(5).ravel()
    np.testing.assert_allclose(weights, [0.636, 0.234, 0.086, 0.032, 0.012], atol=5e-4)
    np.testing.assert_allclose(exponential_basis(4, 0.0).ravel(), 0.25)
    basis = raised_cosine_basis(20, 4)
    np.testing.assert_allclose(basis.sum(axis=0), 1.0)
    assert (np.diff(basis.argmax(axis=0)) > 0).all()
    assert raised_cosine_basis(4, 1).tolist() == [[0.25]] * 4
    with pytest.raises(ParameterError, match="n_bases must be"):
        raised_cosine_basis(3, 4)
    with pytest.raises(ParameterError, match="decay must be"):
        exponential_basis(3, -1.0)
    with pytest.raises(ActivityError, match="counts must be"):
        history_features(np.ones(3), np.ones((2, 1)))


def test_same_as_sklearn_poisson() -> None:
    x = couple(1500)
    model = PopulationGLM(window=6, n_bases=3, ridge=2.0).fit(x)
    features = history_features(x, model.basis_)
    for n in range(3):
        # Its penalty is per sample: alpha = ridge / n_samples.
        peer = PoissonRegressor(alpha=2.0 / len(x), max_iter=1000, tol=1e-10)
        peer.fit(features, x[:, n])
        np.testing.assert_allclose(model.weights_[n].ravel(), peer.coef_, atol=1e-5)
        assert model.bias_[n] == pytest.approx(peer.intercept_, abs=1e-5)
        np.testing.assert_allclose(model.predict(x)[:, n], peer.predict(features), rtol=1e-5)


def test_same_as_sklearn_logistic() -> None:
    x = np.minimum(couple(1500), 1.0)
    model = PopulationGLM("bernoulli", window=3, basis="identity", ridge=0.5).fit(x)
    features = history_features(x, np.eye(3))
    for n in range(3):
        peer = LogisticRegression(C=2.0, tol=1e-10, max_iter=1000).fit(features, x[:, n])
        np.testing.assert_allclose(model.weights_[n].ravel(), peer.coef_[0], atol=1e-5)


def test_same_as_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    rng = np.random.default_rng(1)
    design = np.column_stack([np.ones(800), rng.normal(size=(800, 3))])
    mean = np.exp(design @ [0.5, 0.4, -0.3, 0.0])
    y = rng.negative_binomial(2.0, 2.0 / (2.0 + mean)).astype(float)
    none = np.zeros(4)
    dispersion = 0.7
    for family, peer_family in (
        ("poisson", sm.families.Poisson()),
        ("negative_binomial", sm.families.NegativeBinomial(alpha=dispersion)),
    ):
        peer = sm.GLM(y, design, family=peer_family).fit(tol=1e-13)
        settings: dict[str, Any] = {"link": "exp", "penalty": none, "dispersion": dispersion}
        fit = fit_newton(design, y, family=family, tol=1e-14, **settings)
        np.testing.assert_allclose(fit.coefficients, peer.params, atol=1e-7)
        assert fit.history[-1] == pytest.approx(peer.llf, rel=1e-10)
    peer = sm.NegativeBinomial(y, design).fit(disp=0, method="nm", maxiter=5000)
    found = fit_dispersion(y, design @ peer.params[:-1], "exp")
    assert found == pytest.approx(peer.params[-1], rel=1e-3)


@pytest.mark.parametrize("link", ["exp", "softplus", "sigmoid"])
def test_without_history_the_mean_is_the_mean(link: str) -> None:
    x = np.random.default_rng(2).poisson([0.2, 0.7], size=(500, 2)).astype(float)
    model = PopulationGLM(link=link, coupling="none").fit(x)
    np.testing.assert_allclose(model.predict(x)[0], x.mean(axis=0), rtol=1e-6)
    assert not model.weights_.any()


def test_objective_never_falls_and_ends_at_a_stationary_point() -> None:
    rng = np.random.default_rng(3)
    design = np.column_stack([np.ones(300), rng.normal(size=(300, 4))])
    y = rng.poisson(np.logaddexp(0, design @ [0.0, 2.0, -1.0, 0.5, 0.0])).astype(float)
    weights, centre = rng.random(300), rng.normal(size=5)
    for link in ("exp", "softplus", "sigmoid"):
        fit = fit_newton(
            design, y, family="poisson", link=link, penalty=np.full(5, 0.3), centre=centre,
            weights=weights, tol=1e-15, max_iter=200,
        )  # fmt: skip
        assert (np.diff(fit.history) >= 0).all()

        def value(beta: Array, link: str = link) -> float:
            inside = weights @ log_prob(y, design @ beta, "poisson", link)
            return float(inside - 0.15 * ((beta - centre) ** 2).sum())

        slope = [
            (value(fit.coefficients + h) - value(fit.coefficients - h)) / 2e-5
            for h in 1e-5 * np.eye(5)
        ]
        np.testing.assert_allclose(slope, 0.0, atol=2e-3)


def test_planted_coupling_is_found() -> None:
    model = PopulationGLM(basis="identity", window=2).fit(couple())
    wanted = np.zeros((3, 3))
    wanted[1] = [1.2, -0.8, 0.0]
    # Four standard errors at 4000 bins; the second lag and all else are zero.
    np.testing.assert_allclose(model.filters_[:, :, 0], wanted, atol=0.25)
    np.testing.assert_allclose(model.filters_[:, :, 1], 0.0, atol=0.25)
    own = PopulationGLM(basis="identity", window=2, coupling="self").fit(couple())
    assert not own.weights_[~np.eye(3, dtype=bool)].any()
    test = couple(2000, seed=5)
    assert model.score(test) > own.score(test)
    gain = model.bits_per_spike(test)
    assert gain[1] > 0.2
    np.testing.assert_allclose(gain[[0, 2]], 0.0, atol=0.02)


def test_units_in_another_order() -> None:
    x, order = couple(500), [2, 0, 1]
    model, turned = PopulationGLM().fit(x), PopulationGLM().fit(x[:, order])
    np.testing.assert_allclose(turned.predict(x[:, order]), model.predict(x)[:, order], rtol=1e-6)
    np.testing.assert_allclose(turned.weights_, model.weights_[order][:, order], atol=1e-6)


def test_negative_binomial_dispersion_and_its_poisson_limit() -> None:
    rng = np.random.default_rng(4)
    wide = rng.negative_binomial(2.0, 0.4, size=(4000, 1)).astype(float)
    model = PopulationGLM("negative_binomial", coupling="none").fit(wide)
    assert model.dispersion_[0] == pytest.approx(0.5, rel=0.15)
    regular = rng.poisson(1.0, size=(2000, 1)).astype(float)
    regular[regular > 2] = 2.0
    limit = PopulationGLM("negative_binomial", coupling="none").fit(regular)
    assert limit.dispersion_[0] < 1e-5
    poisson = PopulationGLM(coupling="none").fit(regular)
    assert limit.log_likelihood_[0] == pytest.approx(poisson.log_likelihood_[0], abs=1e-4)


def test_simulated_counts_give_the_model_back() -> None:
    model = PopulationGLM(basis="exponential", window=5).fit(couple(6000))
    drawn = model.simulate(20_000, random_state=0)
    again = PopulationGLM(basis="exponential", window=5).fit(drawn)
    np.testing.assert_allclose(again.weights_, model.weights_, atol=0.2)
    np.testing.assert_array_equal(drawn, model.simulate(20_000, random_state=0))
    model.filters_[:] = 5.0
    with pytest.raises(ActivityError, match="means must stay below"):
        model.simulate(500, random_state=0)


def test_refusals() -> None:
    x = couple(200)
    silent = x.copy()
    silent[:, 2] = 0.0
    with pytest.raises(ActivityError, match=r"units \['2'\]"):
        PopulationGLM().fit(silent)
    broken = x.copy()
    broken[3, 1] = -1
    with pytest.raises(ActivityError, match="the first is -1 at time 3"):
        PopulationGLM().fit(broken)
    with pytest.raises(ActivityError, match="of at most 1"):
        PopulationGLM("bernoulli").fit(np.vstack([x, np.full((1, 3), 4.0)]))
    with pytest.raises(ActivityError, match="the shortest has 8"):
        PopulationGLM(window=8).fit([x, x[:8]])
    with pytest.raises(ParameterError, match="link must be one of sigmoid"):
        PopulationGLM("bernoulli", "exp").fit(x)
    with pytest.warns(ConvergenceWarning, match="still changing"):
        PopulationGLM(max_iter=1).fit(x)
