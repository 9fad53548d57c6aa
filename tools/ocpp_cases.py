"""``python -m tools.ocpp_cases``: write docs/ocpp-cases.md from the tests that are its cases."""

from tests.ocpp.use_cases import OUT, table

if __name__ == "__main__":
    OUT.write_text(table(), encoding="utf-8")
