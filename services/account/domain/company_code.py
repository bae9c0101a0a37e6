"""The unified social credit code of a Chinese company (统一社会信用代码, GB 32100-2015)."""

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # no I, O, S, V, Z: they look like digits


def checked_company_code(code: str) -> str:
    """The code itself. Raises ValueError when it cannot be one: length, letters, or check character."""
    if len(code) != 18 or any(letter not in ALPHABET for letter in code):
        raise ValueError("a unified social credit code has 18 characters: digits and capitals other than I, O, S, V, Z")
    if code[-1] != check_character(code):
        raise ValueError(f"the check character of this unified social credit code would be {check_character(code)}")
    return code


def check_character(code: str) -> str:
    """The 18th character that belongs to the first 17: powers of 3, modulo 31."""
    weighted = sum(ALPHABET.index(letter) * pow(3, place, 31) for place, letter in enumerate(code[:17]))
    return ALPHABET[-weighted % 31]
