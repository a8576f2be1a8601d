"""The journal, what is proposed next, and what a sweep leaves: no Ray here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jscgc.config import ParamsError, overlay, read_yaml
from jscgc.params import load_params
from jscgc.sweep import outcome
from jscgc.sweep.journal import Journal, Trial, trial_name
from jscgc.sweep.propose import STARTUP, Proposer
from jscgc.sweep.space import DoNotFit, Space, changed, keys

ROOT = Path(__file__).parents[2]
VALUES = {"jscgc.train.learning_rate": 1e-05, "sample.guidance": 2.0}


def filled(path: Path) -> Journal:
    journal = Journal(path)
    for index, score in enumerate((0.3, 0.1, 0.2)):
        trial = journal.proposed("s", index, VALUES | {"sample.guidance": float(index)})
        journal.scored(trial.name, 0, {"score": score, "steps": 5.0})
        journal.ended(trial.name, "stopped" if index == 1 else "finished")
    journal.proposed("s", 3, VALUES)
    return journal


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j.jsonl")
    again = Journal(tmp_path / "j.jsonl")
    assert again.trials == journal.trials
    assert [trial.index for trial in again.unfinished()] == [3]
    first = again.in_order()[0]
    assert not again.scored(first.name, 0, {"score": 9.0}) and not again.ended(first.name, "failed")
    assert first.score == 0.3 and first.state == "finished"


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_that_a_kill_cut_short_is_as_if_it_had_not_happened(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j.jsonl"
    filled(path)
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal(path)
    assert [trial.index for trial in journal.in_order()] == [0, 1, 2]
    trial = journal.proposed("s", 3, VALUES)
    assert trial.name == trial_name("s", 3, VALUES)
    assert [t.index for t in Journal(path).in_order()] == [0, 1, 2, 3]


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text('{"event": "scored", "trial": "nobody", "rung": 0, "metrics": {}}\n')
    with pytest.raises(ValueError, match=r"j\.jsonl: line 1 is no entry"):
        Journal(path)


def test_names_follow_from_sweep_index_and_values() -> None:
    name = trial_name("s", 3, VALUES)
    assert name == trial_name("s", 3, dict(reversed(VALUES.items()))) and name.startswith("s-0003-")
    assert (
        len({name, trial_name("r", 3, VALUES), trial_name("s", 4, VALUES), trial_name("s", 3, VALUES | {"a": 1})}) == 4
    )


def space(**changes: Any) -> Space:
    axes = {"x": {"uniform": [-4, 4]}, "n": {"integer": [1, 3]}, "c": {"choice": [[1, 2], {"a": 1}, "t"]}}
    content = {"name": "s", "trials": 30, "evaluate": {"snr_db": [0], "rates": [8]}, "space": axes}
    return Space.model_validate(content | changes)


def ended(index: int, values: dict[str, Any]) -> Trial:
    return Trial(trial_name("s", index, values), index, values, {0: {"score": (values["x"] - 1) ** 2}}, "finished")


def searched(found: Space, trials: int) -> list[float]:
    """The values of x that are tried one after the other on a bowl around 1."""
    proposer, tried = Proposer(found, lambda values: None, "lower"), []
    for index in range(trials):
        values = proposer.propose(index)
        tried.append(values["x"])
        proposer.learn([ended(index, values)], 3)
    return tried


def test_random_proposals_follow_from_seed_and_index_alone() -> None:
    random = space(search="random")
    straight = searched(random, 12)
    fresh = Proposer(random, lambda values: None, "lower")
    assert [fresh.propose(index)["x"] for index in (11, 3)] == [straight[11], straight[3]]
    assert searched(space(search="random", seed=1), 3) != straight[:3]
    assert len(set(straight)) == 12


def test_the_estimator_learns_where_random_does_not() -> None:
    """The last twenty of fifty are nearer to the best: on a bowl that is what a model of it is for."""
    guided, random = (sum(abs(x - 1) for x in searched(space(search=s), 50)[-20:]) for s in ("optuna", "random"))
    assert guided < 0.6 * random


def test_a_resumed_estimator_proposes_as_one_that_was_not_killed() -> None:
    straight = Proposer(space(), lambda values: None, "lower")
    trials = []
    for index in range(STARTUP + 3):
        values = straight.propose(index)
        trials.append(ended(index, values))
        straight.learn(trials, 3)
    resumed = Proposer(space(), lambda values: None, "lower")
    resumed.learn(trials, 3)
    assert resumed.propose(len(trials)) == straight.propose(len(trials))


def test_values_that_do_not_work_together_and_those_that_run_now_are_not_proposed() -> None:
    def works(values: Any) -> None:
        if values["n"] != 2:
            raise DoNotFit("n must be 2")

    proposer = Proposer(space(space={"n": {"integer": [1, 3]}}), works, "lower")
    assert {proposer.propose(index)["n"] for index in range(5)} == {2}
    count, why = proposer.rejected(50)
    assert 20 < count < 45 and why == "n must be 2"
    both = Proposer(space(space={"n": {"integer": [1, 2]}}), lambda values: None, "lower")
    assert [both.propose(index, [{"n": 1}])["n"] for index in range(5)] == [2] * 5
    assert both.propose(0, [{"n": 1}, {"n": 2}])["n"] in (1, 2)
    with pytest.raises(ParamsError, match="no values that work together: n must be 2"):
        Proposer(space(space={"n": {"choice": [1, 3]}}), works, "lower").propose(0)


def test_the_best_is_the_best_of_those_trained_to_the_end(tmp_path: Path) -> None:
    trials = filled(tmp_path / "j.jsonl").in_order()
    lower, higher = outcome.best(trials, "lower"), outcome.best(trials, "higher")
    assert lower is not None and lower.index == 2  # 1 has the lowest score, but was stopped early
    assert higher is not None and higher.index == 0
    assert outcome.best(trials[3:], "lower") is None
    outcome.write_table(trials, VALUES, tmp_path / "t.csv")
    rows = (tmp_path / "t.csv").read_text().splitlines()
    assert rows[0] == "trial,state,rungs,score,steps,jscgc.train.learning_rate,sample.guidance,error"
    assert rows[2].split(",")[1:] == ["stopped", "1", "0.1", "5", "1e-05", "1.0", ""]
    assert rows[4].split(",")[1:5] == ["unfinished", "0", "", ""]


WINNER = {
    "jscgc.train.learning_rate": 1e-05,
    "objective": {"time_law": "shifted", "time_shift": 2.0},
    "objective.weight_power": 0.5,
    "jscgc.adapter.stages": 2,
    "link.snr_db": [-5, 12.5],
    "jscgc.link": {"channels": ["awgn"], "snr_db": [10, 10], "rates": [60]},
    "link.channels": ["rician_block:k_db=6,csi=lmmse"],
    "baselines.diffjscc.steps": None,
}


def test_overlay_and_command_both_give_the_parameters_of_the_trial(tmp_path: Path) -> None:
    """The command through DVC's own reading of `-S`, on the committed params.yaml."""
    import shlex

    from dvc.utils.hydra import apply_overrides

    wanted = changed(load_params(ROOT / "params.yaml"), WINNER)
    trial = Trial("s-0001-abc", 1, WINNER, {0: {"score": 0.5}}, "finished")
    outcome.write_overlay(trial, "nano-s", ["best: of all"], tmp_path / "best.yaml")
    assert load_params(ROOT / "params.yaml", tmp_path / "best.yaml") == wanted.model_copy(update={"profile": "nano-s"})

    present = list(keys(read_yaml(ROOT / "params.yaml")))
    command = shlex.split(outcome.experiment(WINNER, present))
    assert command[:3] == ["dvc", "exp", "run"] and set(command[3::2]) == {"-S"}
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    apply_overrides(tmp_path / "params.yaml", command[4::2])
    assert load_params(tmp_path / "params.yaml") == wanted


def test_the_overlay_is_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m pipeline.profile FILE` lays it over params.yaml as it is, and `nano` takes it off again."""
    from pipeline.profile import select

    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    before = load_params()
    select("smoke")
    smoke = load_params()
    trial = Trial("s-0001-abc", 1, VALUES, {0: {"score": 0.5}}, "finished")
    outcome.write_overlay(trial, "smoke-s", ["best"], tmp_path / "best.yaml")
    select("best.yaml")
    assert load_params() == changed(smoke, VALUES).model_copy(update={"profile": "smoke-s"})
    select("nano")
    assert load_params() == before
    content: dict[str, Any] = json.loads(json.dumps(before.model_dump(mode="json")))
    overlay(content, {"profile": "x"})
    with pytest.raises(ParamsError, match=r"other\.yaml"):
        select("other.yaml")


def test_an_overlay_that_makes_params_wrong_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.profile import select

    monkeypatch.chdir(tmp_path)
    before = (ROOT / "params.yaml").read_bytes()
    Path("params.yaml").write_bytes(before)
    Path("bad.yaml").write_text("profile: bad\njscgc: {train: {steps: -1}}\n")
    with pytest.raises(ParamsError, match=r"^bad.yaml: line 2: jscgc.train.steps: .*greater than 0"):
        select("bad.yaml")
    assert Path("params.yaml").read_bytes() == before and not Path(".jscgc/params.nano.yaml").exists()
    assert not list(tmp_path.glob(".*.tmp"))
