"""Answers requests, one by one or line by line.

# N instances, E features of all rows, K labels
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfxml.data import data_errors, instances, own_labels, requests
from tfxml.evaluation import exclusions, label_sets
from tfxml.models import row_forms
from tfxml.run import answers, set_choices

if TYPE_CHECKING:
    from tfxml.run import explanations


class RequestAnswers:
    """Predicts label names; subclasses say how labels are found.

    Args:
        label_names: by id; None: ids are the names.
        choice: which labels an instance is answered with.
        num_labels: L.
        normalizes_rows: whether rows of features get unit length.
        num_features: D, what feature ids must be below.
        is_text: whether the model reads text.
        drops_own: whether no text is answered with the label that it is named
            after.
    """

    note = ""  # what a user should know of how labels are found
    stale = ""  # why what was fitted to scores is not applied
    title_weight = 1  # how often a title is read

    def __init__(
        self,
        label_names: list[str] | None,
        choice: set_choices.SetChoice,
        num_labels: int,
        normalizes_rows: bool,
        num_features: int,
        is_text: bool,
        drops_own: bool,
    ):
        self._label_names = label_names
        self._choice = choice
        self._own_labels = None
        if drops_own and label_names is not None:
            self._own_labels = own_labels.OwnLabels(label_names)
        self._k = min(choice.num_ranked, num_labels)
        self._num_found = min(choice.num_ranked + drops_own, num_labels)
        self._normalizes_rows = normalizes_rows
        self.num_features = num_features
        self.is_text = is_text

    def _predict_texts(self, texts: list[str]):
        """Returns what was found, which texts have no feature, the rows."""
        raise NotImplementedError

    def _top_k(self, rows: row_forms.RaggedRows):
        """Returns the scores and ids of the best `_num_found` labels, [N, K].

        From a head that models sets, also which labels they have, [N, S, K],
        and how probable they are, [N, S].
        """
        raise NotImplementedError

    @property
    def explainer(self) -> explanations.Explainer:
        """What finds the features that speak for a label."""
        raise ValueError(
            "`explain` must be 0 without TensorFlow. Received: more"
        )

    def _check_rows(self) -> None:
        """Raises ValueError for a model that reads no features."""

    def predict(
        self,
        batch: Sequence[requests.Request | str],
        k: int | None = None,
        explain: int = 0,
        choice: set_choices.SetChoice | None = None,
    ) -> list[dict]:
        """Returns label names, ids and scores for each request.

        Args:
            batch: the requests; a string is one of a text.
            k: how many labels an instance; None: as many as there may be.
            explain: how many features are told a label, those that speak most
                for it or against it.
            choice: among as many labels as are ranked; None: that of the
                predictor.

        Raises:
            ValueError: if scores are not finite: values are too large. Or if
                the model's labels cannot be explained, and are to be.
        """
        asked = [
            requests.Request(one) if isinstance(one, str) else one
            for one in batch
        ]
        texts = [one.text for one in asked if one.text is not None]
        rows = [one for one in asked if one.text is None]
        k = self._k if k is None else min(k, self._k)
        way = choice or self._choice, k, explain
        own, of_rows = None, None
        if self._own_labels is not None:
            own = self._own_labels.of(texts)
            of_rows = np.full(len(rows), own_labels.NONE)
        text_answers = self._answers(self._predict_texts(texts), own, *way)
        row_answers = self._answers(self._predict_rows(rows), of_rows, *way)
        results = []
        for one in asked:
            answer = next(row_answers if one.text is None else text_answers)
            name = _name(one)
            if not np.isfinite(answer["scores"]).all():
                raise ValueError(
                    f"the scores of {name or 'a request'} are not finite: its "
                    "feature values are too large for the model"
                )
            results.append({**name, **answer})
        return results

    def _predict_rows(self, batch: list[requests.Request]):
        if not batch:
            return (), [], None
        self._check_rows()
        all_ids, all_values = zip(
            *(one.features() for one in batch), strict=True
        )
        splits = instances.splits_from_lengths([len(ids) for ids in all_ids])
        ids, values = np.concatenate(all_ids), np.concatenate(all_values)
        if self._normalizes_rows:
            values = instances.normalized(values, splits)
        return self._find_in(ids, values, splits)

    def _find_in(self, ids, values, splits):
        """Returns what was found, which rows have no feature, the rows."""
        rows = row_forms.RaggedRows(*map(np.asarray, (ids, values, splits)))
        # Zeros stand for nothing too.
        before = np.cumsum([0, *(rows.values != 0)])
        is_empty = before[rows.splits[1:]] == before[rows.splits[:-1]]
        return self._top_k(rows), is_empty, rows

    def _answers(
        self,
        found,
        own: np.ndarray | None,
        choice: set_choices.SetChoice,
        k: int,
        explain: int,
    ) -> Iterator[dict]:
        """Yields answers of what `_top_k` returned and what goes with it.

        `own` says which label each is not to have, [N]; None: any may be.
        """
        arrays, is_empty, rows = found
        if not len(is_empty):
            return
        names = self._label_names
        scores, label_ids, *sets = map(np.asarray, arrays)
        if own is not None:
            scores, label_ids, *sets = exclusions.without(
                label_ids == own[:, None], scores, label_ids, sets, self._k
            )
        ranked = slice(choice.num_ranked)
        scores, label_ids = scores[:, ranked], label_ids[:, ranked]
        # A row that is not finite keeps its scores, which `predict` refuses.
        is_wrong = ~np.isfinite(scores).all(axis=1)
        candidates = label_sets.Candidates(
            np.where(is_wrong[:, None], 0, scores), label_ids
        )
        is_chosen = choice.choose(candidates, *sets)
        is_chosen = is_chosen | is_wrong[:, None]
        if own is not None:  # there may be no other label
            is_chosen = is_chosen & (label_ids != own[:, None])
        abstains = choice.abstains(candidates)
        for place, empty in enumerate(is_empty):
            ids = label_ids[place][is_chosen[place]][:k]
            of_ids = scores[place][is_chosen[place]][:k]
            answer = {
                "label_names": [names[i] if names else str(i) for i in ids],
                "label_ids": ids.tolist(),
                "scores": [round(float(score), 6) for score in of_ids],
            }
            if empty:
                answer["empty"] = True
            if abstains[place]:
                answer["abstained"] = True
            if explain:
                answer["explanations"] = self.explainer.explain(
                    *_row(rows, place), ids, explain
                )
            yield answer


def predict_lines(
    predictor: RequestAnswers,
    read: Iterable[requests.Request | requests.Skipped],
    batch_size: int,
    k: int | None = None,
    explain: int = 0,
    choice: set_choices.SetChoice | None = None,
) -> Iterator[str]:
    """Yields a line of JSON for each line read.

    Args:
        predictor: of the labels.
        read: what `requests.read` yields.
        batch_size: how many requests at once.
        k, explain, choice: see `RequestAnswers.predict`.

    Raises:
        DataError: for what cannot be read, after the answers to what stands
            before it.
    """
    read, failure = iter(read), None
    while failure is None:
        batch = []
        try:
            for one in itertools.islice(read, batch_size):
                batch.append(one)
        except data_errors.DataError as error:
            failure = error
        if not batch:
            break
        found = predictor.predict(
            [one for one in batch if isinstance(one, requests.Request)],
            k,
            explain,
            choice,
        )
        yield from map(answers.to_line, _in_order(batch, found))
    if failure is not None:
        raise failure


def _in_order(batch: list, found: list[dict]) -> Iterator[dict]:
    """Yields an answer to each line, `found` where it holds a request."""
    of_requests = iter(found)
    for one in batch:
        if isinstance(one, requests.Request):
            yield next(of_requests)
        elif one.error is not None:
            yield {"line": one.line, "error": str(one.error)}
        else:
            yield {
                "line": one.line,
                "label_names": [],
                "label_ids": [],
                "scores": [],
                "empty": True,
            }


def _name(request: requests.Request) -> dict:
    """Returns what an answer says of its request: the uid, or the line."""
    if request.uid is not None:
        return {"uid": request.uid}
    return {} if request.line is None else {"line": request.line}


def _row(
    rows: row_forms.RaggedRows | None, place: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns feature ids and values of one of the rows, [E] each."""
    if rows is None:  # of words in their order, which are not explained
        return np.zeros(0, np.int32), np.zeros(0, np.float32)
    run = slice(rows.splits[place], rows.splits[place + 1])
    return rows.feature_ids[run], rows.values[run]
