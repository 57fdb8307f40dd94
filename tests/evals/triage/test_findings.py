import inspect

import numpy as np
import pytest

from evals.triage.findings import DETECTORS, get_detector, label_errors
from evals.triage.inputs import Inputs


def test_the_table_holds_together() -> None:
    kinds = [detector.kind for detector in DETECTORS]
    assert len(set(kinds)) == len(kinds)
    for detector in DETECTORS:
        parameters = inspect.signature(detector.detect).parameters
        assert set(detector.needs) | set(detector.uses) <= set(parameters), detector.kind
        needed = {name for name, each in parameters.items() if each.default is inspect.Parameter.empty}
        assert needed == set(detector.needs), f"{detector.kind}: what has no default is needed"
        assert all(hasattr(Inputs(0), name) for name in (*detector.needs, *detector.uses)), detector.kind
        assert 0 < detector.flag_from <= 1
        assert detector.to_do.endswith(".")
    assert get_detector("empty") in DETECTORS
    with pytest.raises(ValueError, match="'nothing' is no kind of finding; known are label_error, "):
        get_detector("nothing")


def test_label_errors_are_handed_through() -> None:
    risk = np.array([0.1, np.nan])
    assert label_errors(risk).risk.tolist() == pytest.approx(risk.tolist(), nan_ok=True)
    assert label_errors(risk).evidence == {}
    with pytest.raises(ValueError, match=r"label has shape \(1,\)"):
        label_errors(risk, np.array([1]))
