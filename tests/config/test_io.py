"""``[evse.recloser]`` and ``[io]``: what is read, and what is refused with line and remedy."""

from __future__ import annotations

import pytest

from evse.config.load import parse_config
from evse.domain.base import ConfigError

GOOD = """
[station]
id = "CP1"

[[evse]]
id = 1
kind = "ac"
board = { port = "/dev/ttyUSB0" }
meter = { profile = "eastron/sdm630", port = "/dev/ttyUSB9", address = 1 }
ac = { current_max_a = 16 }
recloser = { port = "/dev/ttyUSB9" }

[io]
evses = [1]
[[io.input]]
name = "door"
chip = "gpiochip0"
line = 4
[[io.input]]
name = "key"
adc = "2198000.adc"
channel = 2
[[io.output]]
name = "lamp"
chip = "gpiochip0"
line = 5
[[io.sensor]]
name = "housing"
device = "28-00000a1b2c3d"
[io.reference]
threshold_mv = 5_000
[io.fan]
device = "pwmfan"

[[reader]]
name = "front"
driver = "hid"
port = "input:Sycreader"
"""


def only(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "station.toml")
    assert len(caught.value.problems) == 1, caught.value.problems
    return caught.value.problems[0]


def test_recloser_io_and_keyboard_reader_are_read() -> None:
    config = parse_config(GOOD, "station.toml")
    recloser = config.evse[0].recloser
    assert recloser is not None and recloser.profile == "geya/grd9m" and recloser.registers is None
    assert config.io is not None and [x.name for x in config.io.input] == ["door", "key"]
    assert config.io.fan is not None and config.io.sensor[0].bus == "w1"
    assert config.io.reference is not None and config.io.reference.threshold_mv == 5_000
    assert config.reader[0].driver == "hid"


CASES = [
    # what is changed, into what, what the message says
    ('recloser = { port = "/dev/ttyUSB9" }', 'recloser = { port = "/dev/ttyUSB9", profile = "geya/grd8" }',
     'no such file profiles/reclosers/geya/grd8.toml; did you mean "geya/grd9m"?'),
    ('recloser = { port = "/dev/ttyUSB9" }', 'recloser = { port = "/dev/ttyUSB9", address = 1 }',
     "Modbus unit 1 on /dev/ttyUSB9 is used twice, evse[1].meter has it"),
    ('recloser = { port = "/dev/ttyUSB9" }', 'recloser = { port = "/dev/ttyUSB9", baud = 19200 }',
     "19200 differs from evse[1].meter on the same bus"),
    ('recloser = { port = "/dev/ttyUSB9" }', 'recloser = { port = "/dev/ttyUSB0" }',
     "only meters and reclosers may share a port"),
    ('recloser = { port = "/dev/ttyUSB9" }',
     'recloser = { port = "/dev/ttyUSB9", registers = { state_address = 1, command_address = 2, command_open = 1 } }',
     "command_open and command_close are both 1"),
    ('name = "key"', 'name = "door"', "this name is used twice, first in line"),
    ('name = "lamp"', 'name = "1.out1"', "a name has no dot"),
    ("line = 5", "line = 4", "line 4 of gpiochip0 is used twice"),
    ('adc = "2198000.adc"', "active_low = true", "name the GPIO line, or an ADC"),
    ('adc = "2198000.adc"', 'adc = "2198000.adc"\nline = 9', "remove line or adc"),
    ("evses = [1]", "evses = [2]", "there is no EVSE 2; EVSEs: 1"),
    ('device = "pwmfan"', 'device = "pwmfan"\nstart_c = 60', "start must be lower"),
    ('[[io.sensor]]\nname = "housing"\ndevice = "28-00000a1b2c3d"\n', "", "needs a temperature to follow"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), CASES, ids=[c[2][:40] for c in CASES])
def test_each_mistake_has_its_line_and_remedy(old: str, new: str, expected: str) -> None:
    assert old in GOOD
    text = only(GOOD.replace(old, new, 1))
    assert expected in text and text.startswith("station.toml:")
