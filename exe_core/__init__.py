"""Expressions Ensemble, re-examined: pull, crop, train and evaluate, as one small package.

Data flow one way: photos and films become faces, faces become predictions, predictions
become estimates with intervals, estimates become figures and verdicts.
"""

__version__ = "0.1.0"
