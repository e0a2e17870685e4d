"""Facts by relation: the shipped table, its halves, and tables of the user's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from activome.errors import ActivityError, ParameterError, ReadError
from activome.samples import facts
from activome.samples.facts import read_relations, relation_facts, split_by_subject


def test_the_table() -> None:
    table = relation_facts()
    assert len(table) == 3 * 270
    counts = table[table.template == 0].groupby("relation").size()
    assert counts.drop("chemical symbol").eq(40).all()
    assert counts["chemical symbol"] == 30
    assert not table.duplicated(["relation", "subject", "template"]).any()
    assert not table.prompt.str.contains(r"\{|\}| $", regex=True).any()
    row = table.query("relation == 'plural' and subject == 'goose' and template == 0").iloc[0]
    assert (row.object, row.prompt) == (
        "geese",
        "Q: What is the plural of goose?\nA: The plural of goose is",
    )
    # The third wording is none of those on which units are found.
    per_fact = table.groupby(["relation", "subject"]).prompt.nunique()
    assert per_fact.eq(3).all()


def test_provenance_stands_beside_the_data() -> None:
    path = Path(facts.__file__).parent / "data" / "relation_facts"
    digest = hashlib.sha256(path.with_suffix(".json").read_bytes()).hexdigest()
    assert digest in path.with_suffix(".md").read_text("utf-8")


def test_halves_share_no_subject_across_relations() -> None:
    table = relation_facts()
    first, second = split_by_subject(table, random_state=3)
    assert not set(first.subject) & set(second.subject)
    assert len(first) + len(second) == len(table)
    assert first.relation.nunique() == second.relation.nunique() == 7
    again, _ = split_by_subject(table, random_state=3)
    assert again.equals(first)


def test_choice_and_refusals() -> None:
    chosen = relation_facts(["plural", "capital"], templates=[2])
    assert chosen.relation.unique().tolist() == ["plural", "capital"]
    assert chosen.template.unique().tolist() == [2]
    with pytest.raises(ParameterError, match=r"unknown relation 'capitol'.*'capital'"):
        relation_facts(["capitol"])
    with pytest.raises(ParameterError, match="at least 0 and at most 2"):
        relation_facts(templates=[3])
    with pytest.raises(ActivityError, match="column 'subject'"):
        split_by_subject(relation_facts().drop(columns="subject"))
    with pytest.raises(ActivityError, match="two or more subjects; got 1"):
        split_by_subject(relation_facts().head(1))


def test_damage_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_PATH", tmp_path / "relation_facts.json")
    with pytest.raises(ReadError, match="missing"):
        relation_facts()
    (tmp_path / "relation_facts.json").write_text("{}")
    with pytest.raises(ReadError, match="checksum"):
        relation_facts()


def test_relations_of_the_user(tmp_path: Path) -> None:
    entry = {
        "name": "country currency",
        "prompt_templates": ["The currency of {} is the", "In {} people pay with the"],
        "samples": [{"subject": "Japan", "object": "yen"}, {"subject": "India", "object": "rupee"}],
        "properties": {"relation_type": "factual"},
    }
    (tmp_path / "factual").mkdir()
    (tmp_path / "factual" / "currency.json").write_text(json.dumps(entry))
    table = read_relations(tmp_path)
    assert table.prompt.tolist()[2:] == [
        "In Japan people pay with the",
        "In India people pay with the",
    ]
    assert table.object.tolist() == ["yen", "rupee"] * 2
    assert len(read_relations(tmp_path, templates=[1])) == 2
    (tmp_path / "bad.json").write_text(json.dumps({"name": "x", "samples": []}))
    with pytest.raises(ReadError, match="prompt_templates"):
        read_relations(tmp_path)
    (tmp_path / "bad.json").write_text(json.dumps(entry | {"prompt_templates": ["no place"]}))
    with pytest.raises(ReadError, match=r"must hold \{\}"):
        read_relations(tmp_path)
    with pytest.raises(ReadError, match="there are none"):
        read_relations(tmp_path / "empty")
