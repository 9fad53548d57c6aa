"""Write profiles/meters from a register table in CSV form. Used once; the profiles are maintained by hand since.

    python tools/gen_meter_profiles.py meters.csv OUT_DIR

The columns are: model, function_code, address, address_base, register_count, data_type, word_order, scale, unit,
quantity, access, confidence, source, note.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from pathlib import Path

# model of the table -> file, and what the table does not say (bus defaults, limits and traps of the coverage list).
MODELS: dict[str, tuple[str, dict[str, object]]] = {
    "Eastron SDM630 v2": ("eastron/sdm630", {"max_registers": 80, "even_addresses": True}),
    "Eastron SDM230": ("eastron/sdm230", {"baud": 2400, "parity": "E", "max_registers": 80, "even_addresses": True}),
    "Eastron SDM72D-M v1": ("eastron/sdm72dm-v1", {"max_registers": 60, "even_addresses": True}),
    "Eastron SDM72D-M v2": ("eastron/sdm72dm-v2", {"max_registers": 80, "even_addresses": True}),
    "Carlo Gavazzi EM340": ("carlo-gavazzi/em340", {}),
    "Carlo Gavazzi EM330": ("carlo-gavazzi/em330", {}),
    "Carlo Gavazzi ET340": ("carlo-gavazzi/et340", {}),
    "Carlo Gavazzi ET330": ("carlo-gavazzi/et330", {}),
    "Carlo Gavazzi EM24 Ethernet (EM24_E1)": ("carlo-gavazzi/em24-ethernet", {"tcp": True}),
    "Carlo Gavazzi EM24-DIN (RS-485)": ("carlo-gavazzi/em24-din", {}),
    "Carlo Gavazzi EM111": ("carlo-gavazzi/em111", {}),
    "Carlo Gavazzi EM112": ("carlo-gavazzi/em112", {}),
    "Carlo Gavazzi ET112": ("carlo-gavazzi/et112", {}),
    "ABB B23": ("abb/b23", {"parity": "E", "na": "all_ones"}),
    "ABB B24": ("abb/b24", {"parity": "E", "na": "all_ones"}),
    "ABB EV3": ("abb/ev3", {"parity": "E", "na": "all_ones"}),
    "DZG DVH4013": ("dzg/dvh4013", {"parity": "E"}),
    "Inepro PRO380": ("inepro/pro380", {}),
    "Klefr 693x/694x": ("klefr/693x-694x", {"timeout_ms": 2000}),
    "Iskra WM3M4/WM3M4C": ("iskra/wm3m4c", {"baud": 115200, "unit": 33}),
    "Phoenix Contact EEM-350-D-MCB": ("phoenix-contact/eem-350-d-mcb", {"max_registers": 11}),
    "Phoenix Contact EEM-EM377": ("phoenix-contact/eem-em377", {"tcp": True, "unit": 255, "prefer_integers": True}),
    "Phoenix Contact EEM-EM357": ("phoenix-contact/eem-em357", {"tcp": True, "unit": 255, "prefer_integers": True}),
    "Phoenix Contact EEM-DM357": ("phoenix-contact/eem-dm357", {"tcp": True, "unit": 255, "prefer_integers": True}),
    "Phoenix Contact EEM-MA370": ("phoenix-contact/eem-ma370", {"tcp": True}),
    "Socomec Countis E03": ("socomec/countis-e03", {"baud": 38400, "unit": 5}),
    "Socomec Countis E04": ("socomec/countis-e04", {"baud": 38400, "unit": 5}),
    "Elecnova DTS1946": ("elecnova/dts1946", {}),
    "Elecnova DDS1946": ("elecnova/dds1946", {}),
    "Acrel DJSF1352-RN (DC)": ("acrel/djsf1352-rn", {"kind": "dc"}),
    "BZR Bauer BSM-WS36A": (
        "bzr-bauer/bsm-ws36a",
        {"baud": 19200, "parity": "E", "unit": 42, "timeout_ms": 10_000, "max_registers": 125, "na": "sunspec"},
    ),
    **{
        f"SunSpec model {m}": (f"sunspec/model-{m}", {"na": "sunspec", "sunspec": m, "max_registers": 125})
        for m in (201, 202, 203, 204, 211, 212, 213, 214)
    },
}

NOTES: dict[str, list[str]] = {
    "eastron/sdm630": [
        "Floats are answered on even addresses only, at most 40 values per request.",
        "Function 3 and 4 are separate address spaces: address 18 is apparent power L1 (4) or parity (3).",
    ],
    "eastron/sdm230": ["Energy registers are in kWh."],
    "eastron/sdm72dm-v1": ["At most 30 values per request. Sources differ on the parity; none is the usual one."],
    "abb/ev3": [
        "Same addresses as the B23 but energy in 0.0001 kWh: check on a real meter.",
        "The parity of some units cannot be changed.",
    ],
    "abb/b23": [
        "Bus defaults are not evidenced; often 9600 8E1, address 1. A/B labels are often swapped against other makers."
    ],
    "abb/b24": [
        "Bus defaults are not evidenced; often 9600 8E1, address 1. A/B labels are often swapped against other makers."
    ],
    "dzg/dvh4013": [
        "Factory address: last two digits of the serial number plus one, read as hexadecimal (..23 -> 0x24 = 36).",
        "Registers at 0x8000 hold demand maxima, not the present power.",
    ],
    "klefr/693x-694x": ["Silent while it checks its firmware CRC after power-up: up to 10 s."],
    "iskra/wm3m4c": [
        "Energy is counter x 10^exponent, exponents in 414 and 415. OCMF registers exist on the WM3M4C only."
    ],
    "phoenix-contact/eem-350-d-mcb": ["At most 11 registers per request."],
    "phoenix-contact/eem-em377": ["Modbus TCP variants answer on unit 255; the RTU address is kept in register 57636."],
    "phoenix-contact/eem-ma370": ["The register list comes from a driver for the EEM-MB370; check on a device."],
    "socomec/countis-e03": ["Function code 3 is assumed."],
    "socomec/countis-e04": ["Function code 3 is assumed."],
    "elecnova/dds1946": ["Address from the serial number. Power and energy scales may include the PT/CT ratio."],
    "elecnova/dts1946": ["Address from the serial number. Power and energy scales may include the PT/CT ratio."],
    "acrel/djsf1352-rn": [
        "Scale of the power register is of low certainty: compare with voltage times current on site."
    ],
    "bzr-bauer/bsm-ws36a": [
        "Up to 10 s per query: use a line of its own.",
        "A signed snapshot is updated by writing 2 to its status and polling until 0; 3 means failed.",
    ],
}

TYPES = {
    "T5": "t5",
    "T6": "t6",
    "string": "ascii",
    "uint16 hex": "uint16",
    "uint16 pair": "bytes",
    "hex": "bytes",
    "uint16 x2": "bytes",
}
UNITS = {"1": "", "PF": "", "Pct": "%"}

VALUES: list[tuple[str, list[str]]] = [
    ("power_w", ["power_active_total", "power_active_import_total - power_active_export_total"]),
    ("energy_import_wh", ["energy_import_total_highres!", "energy_import_total", "energy_import_total_highres"]),
    ("energy_export_wh", ["energy_export_total_highres!", "energy_export_total", "energy_export_total_highres"]),
    ("voltage_mv", ["voltage_dc", "voltage_L1"]),
    ("current_ma", ["current_dc", "current_L1"]),
    ("voltage_l_mv", ["voltage_L"]),
    ("current_l_ma", ["current_L"]),
    ("power_l_w", ["power_active_L"]),
    ("frequency_mhz", ["frequency"]),
    ("temperature_dc", ["temperature"]),
]
HIGHRES_CERTAIN = ("socomec/countis-e03", "socomec/countis-e04")


def quantity_name(text: str) -> str:
    """``voltage_L1 (PhVphA)`` -> voltage_L1, ``(AC Meter:A_SF)`` -> ac_meter_A_SF."""
    plain = re.sub(r"\s*\(.*\)$", "", text).strip()
    if plain:
        return plain
    inner = text.strip("()")
    head, _, tail = inner.rpartition(":")
    return (head.lower().replace(" ", "_").replace("-", "_") + "_" if head else "") + tail


def scale_keys(row: dict[str, str], rows: list[dict[str, str]]) -> dict[str, object]:
    """``10^V_SF``, ``10^reg414`` and ``10^(reg1-3)`` become the name of the exponent register and an offset."""
    scale = row["scale"]
    if not scale.startswith("10^"):
        return {} if scale == "1" else {"scale": scale}
    if scale == "10^exp":  # inside the T5/T6 value
        return {}
    if match := re.fullmatch(r"10\^\(?reg(\d+)(-\d+)?\)?", scale):
        named = next(r for r in rows if r["address"] == match[1] and r["function_code"] == row["function_code"])
        keys: dict[str, object] = {"exponent": named["name"]}
        if match[2]:
            keys["exponent_offset"] = int(match[2])
        return keys
    want = scale.removeprefix("10^")
    block = re.sub(r"^.*\((?:(.*):)?.*\)$", lambda m: m[1] or "", row["quantity"])
    for other in rows:
        if other["quantity"].strip("()") == (f"{block}:{want}" if block else want):
            return {"exponent": other["name"]}
    raise SystemExit(f"{row['model']}: {row['quantity']}: no register for scale {scale}")


def toml_value(value: object) -> str:
    """A TOML literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def register_line(row: dict[str, str], rows: list[dict[str, str]], name: str, common: dict[str, str]) -> str:
    """One register as a TOML inline table on one line."""
    kind = TYPES.get(row["data_type"], row["data_type"])
    if kind == "ascii" and "low byte only" in row["note"]:
        kind = "ascii_low"
    keys: dict[str, object] = {"quantity": row["name"]}
    if row["function_code"] != "3":
        keys["function"] = int(row["function_code"])
    keys |= {"address": int(row["address"]), "type": kind}
    if row["register_count"] == "len":
        keys["length"] = row["name"] + "_length"
    elif kind in ("ascii", "ascii_low", "bytes"):
        keys["count"] = int(row["register_count"])
    order = {"MSW first": "msw", "LSW first": "lsw"}.get(row["word_order"], "")
    if order and order != common["word_order"] and row["register_count"] != "1":
        keys["word_order"] = order
    keys |= scale_keys(row, rows)
    unit = UNITS.get(row["unit"], row["unit"])
    if unit:
        keys["unit"] = unit
    if row["access"] != "r":
        keys["access"] = row["access"]
    if "alone" in row["note"]:
        keys["alone"] = True
    if "WM3M4C only" in row["note"] or (row["name"].endswith("_highres") and name not in HIGHRES_CERTAIN):
        keys["optional"] = True
    if row["confidence"] != common["confidence"]:
        keys["confidence"] = row["confidence"]
    note = row["note"].strip("; ")
    if note and "function code 4 gives" not in note and note not in ("integer block", "mandatory"):
        keys["note"] = note
    parts = [f"{k} = {v}" if k == "scale" else f"{k} = {toml_value(v)}" for k, v in keys.items()]
    return "  { " + ", ".join(parts) + " },"


def values_table(rows: list[dict[str, str]], name: str, prefer_integers: bool) -> list[str]:
    """The [values] table: which quantity feeds which field."""
    have = {r["name"] for r in rows}

    def pick(quantity: str) -> str | None:
        certain = quantity.endswith("!")
        quantity = quantity.rstrip("!")
        if certain and name not in HIGHRES_CERTAIN:
            return None
        if prefer_integers and f"{quantity}_int" in have:
            return f"{quantity}_int"
        return quantity if quantity in have else None

    lines = []
    for target, options in VALUES:
        for option in options:
            if target.endswith(("l_mv", "l_ma", "l_w")):
                three = [pick(f"{option}{i}") for i in (1, 2, 3)]
                if all(three):
                    lines.append(f"{target} = {toml_value(three)}")
                break
            parts = option.split(" - ")
            if all(pick(p) for p in parts):
                lines.append(f"{target} = {toml_value(' - '.join(str(pick(p)) for p in parts))}")
                break
    return lines


def write_profile(model: str, rows: list[dict[str, str]], out: Path) -> str:
    """Write one file; return its name."""
    name, extra = MODELS[model]
    seen: Counter[str] = Counter()
    for row in rows:
        row["name"] = quantity_name(row["quantity"])
        if row["note"] == "integer block":
            row["name"] += "_int"
        seen[row["name"]] += 1
        if seen[row["name"]] > 1:
            row["name"] += f"_at_{row['address']}"
    orders = Counter(r["word_order"] for r in rows if r["word_order"])
    common = {
        "word_order": "lsw" if orders.most_common(1)[0][0].startswith("LSW") else "msw",
        "confidence": Counter(r["confidence"] for r in rows).most_common(1)[0][0],
    }
    vendor = name.split("/")[0]
    lines = [
        f"# {model}: register map. Addresses are decimal and zero-based. One register per line.",
        "",
        f"vendor = {toml_value(vendor)}",
        f"model = {toml_value(model)}",
        f"confidence = {toml_value(common['confidence'])}",
        f"source = {toml_value(Counter(r['source'] for r in rows).most_common(1)[0][0])}",
        f"word_order = {toml_value(common['word_order'])}",
    ]
    if "kind" in extra:
        lines.append(f"kind = {toml_value(extra['kind'])}")
    if "na" in extra:
        lines.append(f"not_available = {toml_value(extra['na'])}")
    if "sunspec" in extra:
        lines += [f"sunspec_models = [{extra['sunspec']}]", "sunspec_bases = [40000, 50000, 0]"]
    notes = list(NOTES.get(name, []))
    if any("function code 4 gives" in r["note"] for r in rows):
        notes.append("Function code 4 gives the same values.")
    if notes:
        lines += ["notes = [", *(f"  {toml_value(n)}," for n in notes), "]"]
    lines += ["", "registers = [", *(register_line(r, rows, name, common) for r in rows), "]", "", "[bus]"]
    lines += [
        f"{k} = {toml_value(extra[k])}"
        for k in ("baud", "parity", "unit", "timeout_ms", "max_registers", "even_addresses", "tcp")
        if k in extra
    ]
    lines += ["", "[values]", *values_table(rows, name, bool(extra.get("prefer_integers")))]
    path = out / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def main() -> None:
    """Convert the table given on the command line."""
    table, out = Path(sys.argv[1]), Path(sys.argv[2])
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    by_model: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    for model, group in by_model.items():
        sys.stdout.write(write_profile(model, group, out) + f": {len(group)} registers\n")


if __name__ == "__main__":
    main()
