"""The sections of a report: what each shows, in words, tables and drawings."""
