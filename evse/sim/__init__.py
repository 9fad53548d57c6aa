"""A simulated station below the wire: physics, cars, devices as bytes, seeded faults and a small CSMS."""
