"""The demo's station: two DC connectors, two module groups that they share, one site limit, all at ports in one directory."""

from __future__ import annotations

TEMPLATE = """# Station of the demo: two DC connectors, two module groups that they share, one site limit.
[station]
id = "DEMO-1"
vendor = "Example"
model = "DC 2x120"
serial_number = "DEMO0001"
support_phone = "+49 800 123456"
data_dir = "{folder}/data"

[site]
limit_w = 120000
[site.meter]
profile = "eastron/sdm630"
port = "{folder}/dev/meters"
address = 1
poll_ms = 500

[modules]
interface = "udp_multicast"
channel = "{channel}"
[[modules.groups]]
id = 1
addresses = [0, 1]
[[modules.groups]]
id = 2
addresses = [2, 3]

[[evse]]
id = 1
home_group = 1
current_max_a = 250
power_max_w = 120000
board.port = "{folder}/dev/board1"
[evse.meter]
profile = "acrel/djsf1352-rn"
port = "{folder}/dev/dc-meters"
address = 11
poll_ms = 500

[[evse]]
id = 2
home_group = 2
current_max_a = 250
power_max_w = 120000
board.port = "{folder}/dev/board2"
[evse.meter]
profile = "acrel/djsf1352-rn"
port = "{folder}/dev/dc-meters"
address = 12
poll_ms = 500

[[reader]]
name = "reader1"
port = "{folder}/dev/reader1"
evses = [1]

[[reader]]
name = "reader2"
port = "{folder}/dev/reader2"
evses = [2]

[ocpp]
enabled = true
url = "ws://127.0.0.1:{port}/ocpp"
sample_interval_s = 5

[api]
socket = "{folder}/evsed.sock"
"""
