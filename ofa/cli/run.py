"""How every command ends: a user's mistake is one clear line and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from ofa.errors import InputError
from ofa.optional_packages import explained


def run(main: Callable[[], int], failed: int | None = None) -> NoReturn:
    """Exits with main's code; InputError and OSError print `error: ...`, Ctrl-C exits with 130.

    A package that is not installed, and that an extra installs, is a user's mistake too.

    failed: the code of whatever goes wrong, our own faults too, for a command whose 1 is an answer
    """
    try:
        code = main()
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        code = failed or error.exit_code
    except BrokenPipeError:
        # the reader (`| head`) went away; keep the interpreter from complaining when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        code = failed or InputError.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130
    except Exception as error:
        missing = explained(error) if isinstance(error, ImportError) else None
        if missing is not None:
            print(f"error: {missing}", file=sys.stderr)
            sys.exit(failed or missing.exit_code)
        if failed is None:
            raise
        traceback.print_exc()
        code = failed
    sys.exit(code)
