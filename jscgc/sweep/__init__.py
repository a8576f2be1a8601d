"""Hyper-parameter search, `jscgc sweep`: which values of params.yaml's keys give the best score on validation photographs.

space.py     the space file: what is searched, checked against params.yaml's model before anything starts
propose.py   which values to try next (Optuna)
journal.py   what has been proposed, reported and ended: one line each, on disk before anything follows from it
chain.py     which stages the values change, trained in folders that are named by what they depend on
trial.py     one trial: train to the next rung, score, report
records.py   one MLflow run per trial, below the sweep's
results.py   the table, the best values as a profile and as `dvc exp run -S ...`
plan.py      the sweep checked, and its folder
run.py       all of it together; Ray Tune is in jscgc.cluster.tune
"""
