"""WHAT is wanted: files that people write become frozen, validated specs. Knows no other package of ours.

A text travels `tree` (YAML with positions) → `fields` (one field, one value) → `documents` (inheritance) → `load` (all
files, all errors at once) and leaves as `model.Spec`. `goal` says what a spec wants at one moment, `explain` where its
values came from, `schema` what a file may contain. No clock, network, database or environment; only `load` reads, and
only the paths it is handed.
"""
