"""The one error that a user sees."""


class InputError(ValueError):
    """Bad input: one line that says what is wrong, where, and what to do.

    The command line prints it and exits with 2.
    """
