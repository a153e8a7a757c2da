"""What is changed on a phone while it is measured, and put back whatever becomes of the run: its mode, its screen."""

from __future__ import annotations

import re

from profilers.devices.phone.adb import Adb
from profilers.devices.phone.files import BASE

# $1 is our folder on the phone: what was changed is noted there first
FIX = 'touch "$1/fixed-performance"; cmd power set-fixed-performance-mode-enabled true 2>&1'
# the screen of a charging phone; svc also wakes it
STAY_AWAKE = """
[ -f "$1/stay-awake" ] || settings get global stay_on_while_plugged_in > "$1/stay-awake"
svc power stayon true 2>&1
case "$(settings get global stay_on_while_plugged_in)" in [1-9]*) true;; *) false;; esac
"""
# run again and again, by whoever may be the last: the agent's shell, the host, the next run; two of them at once, so
# that a note which the other has just taken away says nothing
RESTORE = """
[ -f "$1/fixed-performance" ] && cmd power set-fixed-performance-mode-enabled false > /dev/null 2>&1
rm -f "$1/fixed-performance"
if [ -f "$1/stay-awake" ]; then
    before=$(cat "$1/stay-awake")
    case "$before" in
    [0-9]*) settings put global stay_on_while_plugged_in "$before";;
    null) settings delete global stay_on_while_plugged_in;;
    esac > /dev/null 2>&1
    rm -f "$1/stay-awake"
fi
"""


def fix_performance(adb: Adb) -> bool:
    """Turns the fixed-performance mode on, which holds clocks where heat does not cut them; False: it has none."""
    answer = adb.run(FIX, BASE)
    if answer.code == 0 and not re.search("fail|can't find|unknown|exception", answer.text, re.IGNORECASE):
        return True
    adb.run('rm -f "$1/fixed-performance"', BASE)
    return False


def stay_awake(adb: Adb) -> bool:
    """Keeps the screen on as long as the phone charges; False where it cannot be."""
    return adb.run(STAY_AWAKE, BASE).code == 0


def restore(adb: Adb) -> None:
    """Puts back what one of our runs changed."""
    adb.run(RESTORE, BASE)
