"""The order in which plans are tried, and what is left out because it cannot win.

1. All schemes; int8 with every estimator of ranges.
2. Repairs of the best int8: equalization, bias correction, both.
3. The best int8 with layers back in float, one more at a time, the largest gain per byte first.
4. Quantization-aware training, where it is allowed.

A later step is left out when it could not win even if it gave exactly the source's answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from edgekit.core.errors import EdgekitError
from edgekit.optimize import choice
from edgekit.quantize.plan import LEARNED, RANGES, Plan
from edgekit.validate.gate import Gate
from edgekit.validate.optimized import OK, Row, Sensitivity, Step

SAID = 4  # names of layers in a step of the trail
LEAST_SHARE = 0.01  # of the noise; layers with less come after all others

Measure = Callable[[Sequence[Plan]], list[Row]]


class Search:
    """A search on its way: `rows` and `trail` are what `edgekit.validate.optimized.Optimized` keeps.

    Args:
        measure: gives a row for each plan.
        rank: measures how sensitive each layer is to a plan.
        train_first: trains the model, so that plans with learned ranges can be measured, and says on which images;
            None where it must not.
        width: how many candidates are measured at once where one after the other would do.
        stamp_bytes: what golden answers and the verdict will add to a candidate's size.
    """

    def __init__(
        self,
        measure: Measure,
        rank: Callable[[Plan], list[Sensitivity]],
        train_first: Callable[[], str] | None,
        *,
        gate: Gate,
        labelled: bool,
        objective: str,
        width: int,
        stamp_bytes: int = 0,
        on_step: Callable[[Step], None] = lambda step: None,
    ) -> None:
        self.rows: list[Row] = []
        self.trail: list[Step] = []
        self.sensitivity: list[Sensitivity] = []
        self._measure, self._rank, self._train_first = measure, rank, train_first
        self._gate, self._labelled, self._objective, self._width = gate, labelled, objective, width
        self._stamp_bytes, self._on_step = stamp_bytes, on_step

    @property
    def winner(self) -> int | None:
        """The index of the best row that meets the budgets so far."""
        return choice.choose(self.rows, self._objective)[0]

    def try_schemes(self, schemes: Sequence[str], learned: bool = False) -> None:
        """Each of these schemes, and int8 with every estimator of ranges, and with those that the model has learned."""
        for_int8 = (*RANGES, LEARNED) if learned else RANGES
        plans = [
            Plan(scheme, ranges) for scheme in schemes for ranges in (for_int8 if scheme == "int8" else RANGES[:1])
        ]
        tried = self._try(plans)
        self._note(f"Tried {', '.join(schemes)}: {len(tried)} candidates. {self._standing()}", tried)

    def repair(self) -> None:
        """The best int8 so far, equalized, bias corrected, and both."""
        base = self._best_int8()
        if base is None:
            self._note("Repairs were left out: no int8 candidate could be measured.")
        elif reason := self._hopeless(base):
            self._note(f"Repairs of {self.rows[base].name} were left out: {reason}.", [base])
        else:
            plan = self.rows[base].plan
            tried = self._try(
                [
                    dataclasses.replace(plan, equalize=equalize, correct_bias=correct)
                    for equalize, correct in ((True, False), (False, True), (True, True))
                ]
            )
            self._note(f"Repaired {self.rows[base].name} ({self._figure(base)}). {self._compared(tried)}", tried)
            self._estimate_again(tried)

    def _estimate_again(self, repaired: Sequence[int]) -> None:
        """The best repair with the other estimators, whose order may be another one now; unless there is none."""
        best = self._best_int8()
        if best is not None and best in repaired and not self._hopeless(best):
            plan = self.rows[best].plan
            tried = self._try([dataclasses.replace(plan, ranges=other) for other in RANGES if other != plan.ranges])
            self._note(f"Tried the other estimators on {self.rows[best].name}. {self._compared(tried)}", tried)

    def select(self) -> None:
        """The best int8 so far with more and more of its layers in float, until it meets the budgets."""
        base = self._best_int8()
        if base is None:
            return
        row = self.rows[base]
        if row.meets and self._objective != "accuracy":
            self._note(
                f"Layers were not returned to float: {row.name} is within the budgets, and would only grow.", [base]
            )
            return
        if reason := self._hopeless(base):
            self._note(f"Layers of {row.name} were not returned to float: {reason}.", [base])
            return
        try:
            self.sensitivity = self._rank(row.plan)
        except EdgekitError as error:
            self._note(f"The layers of {row.name} could not be measured: {error.message}", [base])
            return
        # Layers with next to none of the noise cannot mend it, however small they are.
        order = sorted(
            self.sensitivity, key=lambda layer: (layer.gain_per_byte * layer.bytes < LEAST_SHARE, -layer.gain_per_byte)
        )
        plans = [
            dataclasses.replace(row.plan, keep_float=tuple(layer.tensor for layer in order[: count + 1]))
            for count in range(len(order))
        ]
        tried: list[int] = []
        for start in range(0, len(plans), self._width):
            for measured in self._measure(plans[start : start + self._width]):
                tried.append(self._add(measured))  # those behind the last one are as if they had not been measured
                enough = self._objective != "accuracy" and self.rows[tried[-1]].meets
                if enough or self._hopeless(tried[-1]):
                    break
            else:
                continue
            break
        if not tried:
            self._note(f"No layer of {row.name} could be measured alone.", [base])
            return
        names = ", ".join(layer.layer for layer in order[: min(len(tried), SAID)])
        self._note(
            f"Returned layers of {row.name} to float, one more at a time, the largest gain per byte first: "
            f"{names}{', …' if len(tried) > SAID else ''}. {self._compared(tried)}",
            tried,
        )

    def train(self) -> None:
        """int8 after quantization-aware training, where that is allowed and nothing else is good enough."""
        base = self._best_int8(whole=True)
        if self._train_first is None or base is None:
            return
        row = self.rows[base]
        if row.meets and self._objective != "accuracy":
            self._note(f"The model was not trained: {row.name} is within the budgets.", [base])
        elif any(each.plan.ranges == LEARNED for each in self.rows):
            self._note("The model was not trained: it has been already.", [base])
        elif reason := self._hopeless(base):
            self._note(f"The model was not trained: {reason}.", [base])
        else:
            try:
                images = self._train_first()
            except EdgekitError as error:  # whatever is wrong with it, what was found without it stays
                self._note(f"Quantization-aware training failed: {error.message}", [base])
                return
            tried = self._try([Plan("int8", LEARNED)])
            self._note(f"Trained with fake quantization on {images}. {self._compared(tried)}", tried)

    def conclude(self) -> None:
        """Say at the end what each row lost by."""
        winner, reasons = choice.choose(self.rows, self._objective)
        for index, row in enumerate(self.rows):
            if index == winner:
                continue
            lost = reasons.get(index) or row.reason or "; ".join(self._misses(row))
            self.rows[index] = dataclasses.replace(row, lost_because=lost)

    def _try(self, plans: Sequence[Plan]) -> list[int]:
        return [self._add(row) for row in self._measure(plans)]

    def _add(self, row: Row) -> int:
        within = row.status == OK and not self._misses(row)
        self.rows.append(dataclasses.replace(row, meets=within))
        return len(self.rows) - 1

    def _note(self, text: str, rows: Sequence[int] = ()) -> None:
        self.trail.append(Step(text, tuple(rows)))
        self._on_step(self.trail[-1])

    def _misses(self, row: Row) -> list[str]:
        return choice.misses(row, self._gate, self._labelled, self._stamp_bytes)

    def _best_int8(self, whole: bool = False) -> int | None:
        """The closest to the source of those that can still be changed: learned ranges belong to one very model.

        `whole`: of those without layers in float.
        """
        return choice.closest(
            self.rows,
            [
                index
                for index, row in enumerate(self.rows)
                if row.plan.scheme == "int8" and row.plan.ranges != LEARNED and not (whole and row.plan.keep_float)
            ],
        )

    def _hopeless(self, base: int) -> str:
        """Why a candidate of this size and speed could not win even with the source's own answers; else ""."""
        row = self.rows[base]
        perfect = dataclasses.replace(
            row, drop=None if row.drop is None else min(0.0, row.drop), agreement=1.0, mean_difference=0.0, meets=True
        )
        if missing := self._misses(perfect):
            return f"whatever it answers, {'; '.join(missing)}"
        best, reasons = choice.choose([*self.rows, perfect], self._objective)
        if best == len(self.rows):
            return ""
        if best == base:
            return "it answers exactly like its source"
        return f"even with its source's answers it would be {reasons[len(self.rows)]}"

    def _standing(self) -> str:
        within = sum(row.meets for row in self.rows)
        best = self.winner
        if best is None:
            return "None is within the budgets."
        count = "One is" if within == 1 else f"{within} are"
        return f"{count} within the budgets, the best so far: {self.rows[best].name} ({self._figure(best)})."

    def _compared(self, tried: Sequence[int]) -> str:
        best = choice.closest(self.rows, tried)
        if best is None:
            return "None of them could be measured."
        if best == self.winner:
            what = "is now the best"
        elif self.rows[best].meets:
            what = "is within the budgets, but not the best"
        else:
            what = "came nearest" if len(tried) > 1 else "is not within the budgets"
        return f"{self.rows[best].name} {what} ({self._figure(best)})."

    def _figure(self, index: int) -> str:
        row = self.rows[index]
        if row.drop is not None:
            return f"drop {row.drop:z.2f} points"
        return f"agreement {100 * (row.agreement or 0):.2f} %"
