"""Run a bundle on the batches of other frameworks: Ray Data, Spark, Dask."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from pplcnet.errors import InputError
from pplcnet.runtime.model import Model
from pplcnet.system.wording import listed
from pplcnet.tasks import find
from pplcnet.tasks.task import Prediction

__all__ = ["BatchClassifier"]

COLUMNS = ("bytes", "image", "path")
"""Columns that may hold photos; the names that Ray Data's readers use."""


class BatchClassifier:
    """Runs a bundle of any task on batches: for `ray.data.Dataset.map_batches`, Spark's
    `mapInPandas` and Dask's `map_partitions`.

    It can be pickled. Each process opens the network once.
    """

    def __init__(
        self,
        bundle: str | PathLike[str],
        *,
        column: str | None = None,
        top_k: int | None = None,
        threads: int = 1,
        engine: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Open a bundle as `pplcnet.load` does.

        Args:
            column: the column that holds the photos: bytes of image files, arrays or paths. None
                takes the first of "bytes", "image" and "path" that exists.
            top_k: answers per photo; None for all that count as an answer.
            threads: cores per batch. The frameworks run several batches at once.

        Raises:
            BundleError, InputError, MissingDependencyError: as `pplcnet.load`.
        """
        self._model: Model[Prediction] = Model(
            bundle, threads=threads, engine=engine, precision=precision
        )
        self._column, self._top_k = column, top_k

    def __call__(self, batch: Any) -> Any:
        """Predict a batch.

        Args:
            batch: column names to arrays of length N, or a pandas DataFrame of N rows.

        Returns:
            The batch without its photos (paths are kept), with added columns for the best answer
            ("label", "probability", ...), "answers" (a list of all) and "error" (None unless the
            photo is broken), and "typicality" if the bundle measures it.

        Raises:
            InputError: no column holds photos, or one has the name of an added column.
        """
        is_frame = hasattr(batch, "assign")
        names = list(batch.columns if is_frame else batch)
        wanted = (self._column,) if self._column else COLUMNS
        column = next((each for each in wanted if each in names), None)
        if column is None:
            raise InputError(
                f"the batch has no column {' or '.join(map(repr, wanted))}, but "
                f"{listed(list(map(repr, names)), 20) or 'none'}; name it with column=."
            )
        kept = [name for name in names if name != column or column == "path"]
        if taken := [name for name in kept if name in self._columns()]:
            raise InputError(
                f"the batch has the column {listed(list(map(repr, taken)), 20)}, which the answers "
                "would replace; give it another name."
            )
        found = self._predict(list(batch[column]))
        if is_frame:
            return batch[kept].assign(**found)
        return {**{name: batch[name] for name in kept}, **found}

    def _columns(self) -> list[str]:
        """The names of the added columns."""
        typicality = ["typicality"] if self._model.knows_typical else []
        own = find(self._model.manifest.task).prediction.columns
        return [*own, "answers", *typicality, "error"]

    def _predict(self, photos: list[Any]) -> Mapping[str, Any]:
        predictions = list(self._model.predict_many(photos))
        answers = [
            None if each.error is not None else each.rows(self._top_k) for each in predictions
        ]
        best = [each[0] if each else {} for each in answers]
        columns: dict[str, list[Any]] = {
            name: [row.get(name) for row in best]
            for name in find(self._model.manifest.task).prediction.columns
        }
        columns["answers"] = answers
        if self._model.knows_typical:
            columns["typicality"] = [each.typicality for each in predictions]
        columns["error"] = [each.error and each.error.reason for each in predictions]
        return {name: _objects(values) for name, values in columns.items()}


def _objects(values: list[Any]) -> Any:
    """(N,) array of objects; NumPy would make lists of equal length a 2-D array."""
    array = np.empty(len(values), object)
    array[:] = values
    return array
