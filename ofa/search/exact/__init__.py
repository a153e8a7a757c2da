"""The exact search: scores and costs both add up over units, so the best network is put together, not looked for.

Everything is in whole numbers (nanoseconds, MACs, millionths of a per cent), so that sums are exact in any order.
"""
