"""Names of files as they can be shown, stored and compared: files may be called anything."""

from __future__ import annotations

import unicodedata

# what turns the direction of text, so that a name reads otherwise than it is
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def shown(name: str) -> str:
    """The name on one line, in plain sight: control characters, and bytes that are not UTF-8, become escapes.

    Letters of any script, and spaces of any width, stay as they are.
    """
    return name if name.isascii() and name.isprintable() else "".join(map(_shown, name))


def _shown(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python holds a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNING:
        return character.encode("unicode_escape").decode()
    return character


def composed(name: str) -> str:
    """The name with an umlaut as one character, as most systems write it; macOS writes two."""
    return unicodedata.normalize("NFC", name)
