"""Expressions Ensemble, re-examined: pull, crop, train and evaluate, as one small package.

Data flow one way: photos and films become faces, faces become predictions, predictions become
estimates with intervals, estimates become figures and verdicts. Each module can be read alone.

**Studies and tables.** `settings` holds what a study may say, with defaults and meanings; `study`
loads one, or a trial of it, and knows the place of every file; `labels` and `tables` hold the
emotions and every table's columns, checked when written and read; `record` writes files that
appear whole, and the provenance of a result.

**Photos.** `sources` describes photo sites as data; `fetching` is a careful HTTP client; `pull`
searches and downloads, resumable and within quotas; `curation` counts where photos were lost, how
often keywords are wrong, and whom to credit.

**Faces and sets.** `faces` reads images, detects and crops, for photos and frames alike;
`readers` turn FER2013, FER+, RAF-DB and folders into one form; `datasets` build the sets of a
study, find duplicates and split by group; `open_data` fetches and checks what is openly available.

**Networks.** `models` gives a network by name, with its preprocessing and weights; `networks` and
`ddamfn` define them; `augmentation` and `training` train; `inference` predicts, alone or as an
ensemble; `calibration` corrects confidences and label shares.

**Films.** `video` reads frames exactly and fast; `screening` finds the faces of films; `films`
computes shares, courses and events; `criteria` what can be said without labels; `film_report` is
`exe film`; `photos` reads whole photos, as `exe photo` does.

**Estimates and claims.** `resampling` makes intervals and p-values; `metrics` scores and compares
predictions; `claims` gives verdicts; `published` tests the eight published claims; `sentiment`
scores scales; `film_faces` scores networks on labelled faces of films.

**Running.** `stages` builds a study and executes its notebooks; `staleness` says what has to run
again; `cli` is the command `exe`. Charts are in `exe_core.figures`.
"""

__version__ = "0.1.0"
