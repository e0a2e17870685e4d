"""Path patching: the effect of one component on another along the direct path between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from activome._checks import check_integer
from activome._progress import Progress, silent
from activome.errors import ParameterError
from activome.interventions._comparison import Comparison
from activome.interventions._nodes import Nodes
from activome.interventions._patched_runs import PatchedRuns, replacing
from activome.interventions._restart import chunks
from activome.interventions.edits import Add, Edit, Patch
from activome.interventions.sites import Site

__all__ = ["path_patching"]

# Sites of one component: what is inside of what in one layer.
_COMPONENTS = (
    {"q", "k", "v", "head_out", "attn_out"},
    {"mlp_pre", "mlp_up", "mlp_hidden", "mlp_out"},
)


def path_patching(
    model: nn.Module,
    clean: Any,
    corrupted: Any,
    metric: Callable[[Any], Any],
    sites: str | Sequence[str],
    *,
    receivers: str | Sequence[str] | None = None,
    held: str | Sequence[str] | None = None,
    by: str | Sequence[str] = ("position", "head"),
    positions: Any = "all",
    normalize: bool = True,
    readout: str | Callable[[Any], Any] = "last",
    tokenizer: Any = None,
    scheme: str | None = None,
    max_tokens: int = 2048,
    progress: Progress = silent,
) -> xr.DataArray:
    """Measure what each node does to the output by way of some receivers alone.

    The corrupted input is run with one sender at its clean value while all other components are
    held at their corrupted ones, so that the change reaches the receivers along the residual
    stream only. The change of what the receivers take in is then added in a run of its own, in
    which everything after them follows.

    Parameters
    ----------
    model : torch.nn.Module
        Any network, in evaluation mode; used in place.
    clean, corrupted : Tensor, mapping of str to Tensor, list of list of int, or list of str
        As in ``activation_patching``.
    metric : callable
        From what ``readout`` gives to one number.
    sites : str or sequence of str
        Senders, such as ``"head_out[*]"``.
    receivers : str or sequence of str, optional
        Sites that take the change in, all of them together, such as ``"q[9]"``; by default the
        output of the model.
    held : str or sequence of str, optional
        Sites that are held; by default ``attn_out`` and ``mlp_out``. A component is never held
        against its own insides.
    by : sequence of {"position", "head", "unit"}, default=("position", "head")
        Axes along which senders are patched one by one.
    positions : "all" or list of int, default="all"
        Columns of the sequence in which senders are patched.
    normalize : bool, default=True
        Divide by the difference of the metric between the two runs.
    readout : {"last", "all"} or callable, default="last"
        What of the output goes to the metric.
    tokenizer : object, optional
        Encodes texts, and labels positions.
    scheme : str, optional
        Table of site names, as in ``Taps``.
    max_tokens : int, default=2048
        Tokens in one pass.
    progress : Progress, default=silent
        Told of the senders done.

    Returns
    -------
    xarray.DataArray
        Effects of the senders, laid out as by ``activation_patching``.

    Raises
    ------
    ParameterError
        As ``activation_patching``, and if nothing is known that could be held.

    Notes
    -----
    Two passes per node, from the layer of the sender and from that of the first receiver on. Where
    the network is linear, the effects over all first steps (the output, and the input of each later
    component) sum to the effect of the sender. That the change is added where the papers set the
    value is our choice: it differs where receivers lie behind each other, which then pass on what
    they have from one another, as the sum of their paths asks for.

    References
    ----------
    .. [1] K. Wang, A. Variengien, A. Conmy, B. Shlegeris and J. Steinhardt, "Interpretability in
       the wild: a circuit for indirect object identification in GPT-2 small", 2023.
    .. [2] N. Goldowsky-Dill, C. MacLeod, L. Sato and A. Arora, "Localizing model behavior with path
       patching", 2023.

    Examples
    --------
    >>> import torch
    >>> class Network(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.a, self.b = torch.nn.Identity(), torch.nn.Identity()
    ...     def forward(self, x):
    ...         a = self.a(x)
    ...         return a + 3 * self.b(a)
    >>> for receiver in (None, "module:b#in"):
    ...     print(path_patching(
    ...         Network(), torch.ones(1, 2), torch.zeros(1, 2), torch.sum, "module:a#out",
    ...         receivers=receiver, held="module:b#out",
    ...     ).values.tolist())
    [0.25]
    [0.75]
    """
    owner = "path_patching"
    check_integer(max_tokens, name="max_tokens", owner=owner, low=1)
    compared = Comparison.of(
        owner, model, clean, corrupted, metric, sites, by, positions, readout, tokenizer, scheme
    )
    ends = _sites(compared, receivers)
    holding = _held(compared, held)
    values, read = compared.record(compared.clean)
    constants = compared.record(compared.corrupted, [*holding, *ends])[0]
    given = [(end, constants[end.label]) for end in ends]
    runs = PatchedRuns(compared, max_tokens)
    low = float(compared.value(runs.readout))

    def changes(nodes: Nodes, site: Site) -> Any:
        keep = {s.label: constants[s.label] for s in holding if not _is_part(site, s)}
        found: list[float] = []
        for cells in chunks(range(nodes.n_cells), runs.size):
            n = len(cells)
            edits: list[Edit] = [
                replacing(site, nodes.masks(site, cells), values[site.label][None])
            ]
            edits += [
                Patch(label, constant.repeat(n, *(1,) * (constant.ndim - 1)))
                for label, constant in keep.items()
            ]
            found += compared.values(_through(compared, runs, site, edits, given, n), n)
        return np.subtract(found, low)

    result = compared.effects(values, read, low, changes, normalize=normalize, progress=progress)
    result.attrs["receivers"] = "output" if receivers is None else [end.label for end in ends]
    return result


def _through(
    compared: Comparison,
    runs: PatchedRuns,
    sender: Site,
    edits: list[Edit],
    receivers: list[tuple[Site, Any]],
    n_groups: int,
) -> Any:
    """Return the readout when a change reaches the output, or the receivers, directly."""
    if not receivers:
        return runs.run(n_groups, runs.start([sender]), edits)
    sites = [site for site, _ in receivers]
    # Both the change and what takes it in must be within the pass.
    start = runs.start([sender, *sites])
    with compared.taps.record(*(site.label for site in sites)) as recording:
        runs.run(n_groups, start, edits)
    # The change is added, not set: a receiver also sees what earlier receivers have made of it.
    taken: list[Edit] = []
    for site, bare in receivers:
        change = recording.tensor(site.label).unflatten(0, (n_groups, -1)) - bare
        taken.append(Add(site.label, change.flatten(0, 1)))
    return runs.run(n_groups, runs.start(sites), taken)


def _sites(compared: Comparison, names: str | Sequence[str] | None) -> list[Site]:
    wanted = () if names is None else (names,) if isinstance(names, str) else names
    found = {site.label: site for name in wanted for site in compared.taps.sites(name)}
    for site in found.values():
        if not site.is_editable:
            raise ParameterError(
                f"path_patching: {site.label} can be read, not patched, and cannot receive. Use q, "
                "k, v, mlp_pre, mlp_up or resid_pre instead."
            )
    return list(found.values())


def _held(compared: Comparison, names: str | Sequence[str] | None) -> list[Site]:
    if names is None:
        names = [n for n in ("attn_out", "mlp_out") if n in compared.taps.table.named]
        if not names:
            raise ParameterError(
                "path_patching: held must name the components that are not to pass the change on; "
                "this network has no sites attn_out and mlp_out. Give held, such as "
                "['module:blocks.*#out']."
            )
    return _sites(compared, names)


def _is_part(inner: Site, outer: Site) -> bool:
    """Whether a site is inside of a component, or is its output."""
    if inner.path == outer.path or inner.path.startswith(outer.path + "."):
        return True
    return inner.layer == outer.layer and any(
        {inner.name, outer.name} <= component for component in _COMPONENTS
    )
