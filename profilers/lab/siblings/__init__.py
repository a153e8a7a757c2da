"""Devices of one model: do they agree, and one table of those that do. Files in, values out; nothing is printed.

found = compare_devices([Path("a.csv"), Path("b.csv"), Path("c.csv")])   # .compared
findings(found)                                                          # .findings: sentences
merged_table(found, "Pixel 7", command).save(out)                        # .merged, if found.agreeing
"""
