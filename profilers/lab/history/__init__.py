"""A device against its own earlier tables: what is drift, and what came with another runtime or system.

histories, left_out = read_histories([Path("nights")])   # .history: files and folders in, values out
histories[0].aside                                       # why not to trust its last table, or ""
to_json(histories)                                       # what `ofa report` draws
"""
