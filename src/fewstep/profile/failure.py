"""Why something could not be measured, in a line."""

MOST = 200  # characters


def first_line(failure: BaseException) -> str:
    lines = str(failure).strip().splitlines() or ["no message"]
    return f"{type(failure).__name__}: {lines[0][:MOST]}"
