"""A store's beginning."""

from __future__ import annotations

from answerable.cli.run import Run, command


@command("init")
def init(run: Run) -> None:
    """Make a store and its authority, or show the one that is there."""
    made = not (run.store / "FORMAT").exists()
    engine = run.open()
    store = engine.path
    key_file = store.with_name(store.name + ".key")
    record = {
        "store": str(store),
        "made": made,
        "authority": engine.authority,
        "key_file": str(key_file) if key_file.exists() else None,
    }
    if run.out.json:
        run.out.document(record)
        return
    run.out.text(f"{'made' if made else 'there already'}: {store}")
    run.out.text(f"authority: {engine.authority}")
    if made and record["key_file"]:
        run.out.text(f"key: {key_file}")
        run.out.note("keep a copy of the key elsewhere: without it nothing sealed here opens again")
