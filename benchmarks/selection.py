"""Selection: the generalised Jaccard index of many codes with one, and BM25 of a text pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from scipy.spatial.distance import cdist

from activome.patterns.code_overlap import generalized_jaccard
from activome.studies._mona_baselines import bm25
from harness import Case, Peer, main

_WIDTH, _ACTIVE = 4608, 60
_WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprst"]


def make_codes(n: float) -> Any:
    """Draw codes of 4608 components, about 60 of them active in each row."""
    rng = np.random.default_rng(0)
    rows: Any = sparse.random_array(
        (int(n), _WIDTH), density=_ACTIVE / _WIDTH, rng=rng, format="csr", dtype=np.float64
    )
    return rows, np.asarray(rows[:8].mean(axis=0)).ravel()


def index_of_rows(problem: Any) -> Any:
    """Compare rows in CSR form."""
    return generalized_jaccard(*problem)


def dense(problem: Any) -> Any:
    """Write the zeros out, which the peer needs."""
    rows, prototype = problem
    return rows.toarray(), prototype[np.newaxis]


def braycurtis(problem: Any) -> Any:
    """Turn scipy's dissimilarity into the index."""
    rows, prototype = problem
    found = cdist(rows, prototype, "braycurtis").ravel()
    return (1.0 - found) / (1.0 + found)


def largest(ours: Any, theirs: Any) -> float:
    """Tell the largest difference."""
    return float(np.abs(ours - theirs).max())


def make_texts(n: float) -> Any:
    """Draw texts of 20 words, of which few are frequent."""
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, len(_WORDS) + 1)
    drawn = rng.choice(len(_WORDS), size=(int(n), 20), p=share / share.sum())
    texts = [" ".join(_WORDS[i] for i in row) for row in drawn]
    return texts[:8], texts[8:]


def words_of_ours(problem: Any) -> Any:
    """Index and ask, in one."""
    return bm25(*problem)


def words_of_bm25s(problem: Any) -> Any:
    """Index and ask with bm25s, its idf that stays positive."""
    import bm25s

    queries, documents = problem
    model = bm25s.BM25(k1=1.5, b=0.75, method="lucene", dtype="float64")
    model.index([text.split() for text in documents], show_progress=False)
    # Its form of the weight leaves out the constant factor k1 + 1.
    return 2.5 * sum(model.get_scores(query.split()) for query in queries)


def words_of_rank_bm25(problem: Any) -> Any:
    """Index and ask with rank-bm25, with the idf that stays positive."""
    from rank_bm25 import BM25Okapi

    queries, documents = problem
    model = BM25Okapi([text.split() for text in documents], k1=1.5, b=0.75)
    n = model.corpus_size
    holding = {word: sum(word in counts for counts in model.doc_freqs) for word in model.idf}
    model.idf = {
        word: float(np.log1p((n - found + 0.5) / (found + 0.5))) for word, found in holding.items()
    }
    return np.sum([model.get_scores(query.split()) for query in queries], axis=0)


def relative(ours: Any, theirs: Any) -> float:
    """Tell the largest difference, as a share of the largest score."""
    return float(np.abs(ours - theirs).max() / np.abs(ours).max())


def cases() -> Sequence[Case]:
    """Two kernels at three sizes."""
    return [
        Case(
            name=f"generalized_jaccard, n rows x {_WIDTH}, {_ACTIVE} active, with one prototype",
            sizes=(1000, 4000, 16000),
            smoke=(1000,),
            make=make_codes,
            ours=index_of_rows,
            peers=[
                Peer("scipy cdist braycurtis, dense", braycurtis, largest, 1e-12, prepare=dense),
            ],
            bytes_moved=lambda n: 12.0 * n * _ACTIVE,
            aim="ratio at least 5, without writing zeros out",
        ),
        Case(
            name="BM25, n texts of 20 words, 8 queries, indexing included",
            sizes=(1000, 4000),
            smoke=(1000,),
            make=make_texts,
            ours=words_of_ours,
            peers=[
                Peer("bm25s", words_of_bm25s, relative, 1e-6, requires="bm25s"),
                Peer("rank-bm25", words_of_rank_bm25, relative, 1e-6, requires="rank_bm25"),
            ],
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
