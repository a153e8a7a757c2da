"""What counts as a change of a block."""

# a change below this share is of no matter to a search
EFFECT = 0.05
# the share of wrong ones among the blocks that are called changed; where none did, the chance of any alarm
ALPHA = 0.01
