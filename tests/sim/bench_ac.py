"""A mixed station configuration on simulated ports: two DC connectors, three AC points, meters on two buses."""

from __future__ import annotations

from evse.config.load import parse_config
from evse.config.model import StationConfig

MIXED = """
[station]
id = "MIXED"

[site]
limit_w = 100000
[site.meter]
profile = "eastron/sdm630"
port = "tcp://127.0.0.1:1502"
address = 7

[modules]
interface = "udp_multicast"
channel = "239.74.163.2"
[[modules.groups]]
id = 1
addresses = [0, 1]

[[evse]]
id = 1
home_group = 1
board.port = "/dev/b1"
[evse.meter]
profile = "acrel/djsf1352-rn"
port = "/dev/ttyM0"
address = 1

[[evse]]
id = 2
kind = "ac"
board.port = "/dev/b2"
[evse.meter]
profile = "eastron/sdm630"
port = "/dev/ttyM1"
address = 2
[evse.recloser]
port = "/dev/ttyM1"
registers = { state_address = 1, command_address = 2 }
[evse.ac]
current_max_a = 32
grid_a = 32
rotary_switch = true
phase_rotation = "STR"
out_of_balance_a = 20
inputs = 3
outputs = 2
key_switch_input = 1
emergency_input = 2
emergency_active = "low"
[evse.ac.lock]
motor = "kuester-02s"
[evse.ac.rcd]
enabled = true
[evse.ac.phase_switch]
enabled = true

[[evse]]
id = 3
kind = "ac"
board.port = "/dev/b3"
[evse.ac]
current_max_a = 16
[evse.ac.ventilation]
enabled = true

[[evse]]
id = 4
kind = "ac"
board.port = "/dev/b4"
[evse.ac]
connection = "cable"
cable_a = 16
current_max_a = 16

[[reader]]
name = "front"
port = "/dev/ttyR0"
evses = [1, 2]

[[reader]]
name = "side"
driver = "hid"
port = "/dev/input/side"
evses = [3, 4]
"""


def mixed() -> StationConfig:
    """The station."""
    return parse_config(MIXED, "mixed.toml")
