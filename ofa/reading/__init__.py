"""Strict readers of what others wrote: numbers, JSON and TOML, CSV, headers. A fault is an `InputError` of one line."""
