"""What counts as a change of a block."""

# a change below this share is of no matter to a search
EFFECT = 0.05
# a drift of all blocks is told where it is beyond that share, and beyond so many of its standard errors
DRIFT_ERRORS = 5.0
# the share of wrong ones among the blocks that are called changed; where none did, the chance of any alarm
ALPHA = 0.01
