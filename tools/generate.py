"""``python -m tools.generate [--check]``: everything in the tree that is made from code, written or compared.

Man pages, completion table, docs/cli.md, configuration reference and schema, OpenAPI document,
OCPP keys.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def outputs() -> dict[Path, str]:
    """Every generated file: path -> text."""
    from evse.api.openapi import outputs as api_outputs
    from evse.config import docs as config_docs
    from evse.ocpp import key_docs
    from evsectl import docs as cli_docs

    files = dict(cli_docs.outputs(ROOT))
    files.update({ROOT / name: text for name, text in config_docs.files().items()})
    files.update(api_outputs())
    files[ROOT / "docs" / "ocpp-keys.md"] = key_docs.markdown()
    return files


def main() -> int:
    """Write the files, or with --check name those that differ and exit 1."""
    wrong = []
    for path, text in outputs().items():
        current = path.read_text(encoding="utf-8") if path.exists() else None
        if current == text:
            continue
        wrong.append(path)
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in wrong:
        print(f"{'out of date' if '--check' in sys.argv else 'written'}: {path.relative_to(ROOT)}", file=sys.stderr)
    return 1 if wrong and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
