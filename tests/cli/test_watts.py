"""Powers as people write them: a bare small number is asked back, because 60 was meant as 60 kW."""

from __future__ import annotations

import pytest

from evsectl.commands.planner import watts
from evsectl.diagnostics import Abort


@pytest.mark.parametrize(
    ("text", "power_w"),
    [("60000", 60_000), ("60kW", 60_000), ("0.5 kw", 500), ("60W", 60), ("1000", 1000), ("0", 0), ("10000kW", 10_000_000)],
)
def test_a_power_is_read(text: str, power_w: int) -> None:
    assert watts(text) == power_w


@pytest.mark.parametrize(("text", "word"), [("60", "60kW"), ("999.5", "999.5kW"), ("-1", "between"), ("nan", "between"), ("x", "not a power")])
def test_a_doubtful_power_is_refused_with_what_to_write(text: str, word: str) -> None:
    with pytest.raises(Abort) as refused:
        watts(text)
    assert refused.value.exit_code == 2
    assert word in refused.value.message + refused.value.hint
