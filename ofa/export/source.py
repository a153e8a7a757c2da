"""Where these stood before they moved to ofa.checkpoints; goes with the last import of it."""

from ofa.checkpoints.opening import WEIGHTS as WEIGHTS
from ofa.checkpoints.opening import Source as Source
from ofa.checkpoints.opening import load_source as load_source
from ofa.checkpoints.opening import shipped_checkpoint as shipped_checkpoint
from ofa.checkpoints.subnet_file import NamedSubnet as NamedSubnet
from ofa.checkpoints.subnet_file import read_subnet as read_subnet
