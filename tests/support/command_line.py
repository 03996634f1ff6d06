"""The command line as a user calls it, for tests."""

from deepfake_uncertainty import cli

DETERMINISTIC = ["--detector", "small", "--method", "deterministic", "--alpha", "0.34"]


def fake(root):
    return root / "manipulated_sequences/A/c23/videos/006_007.mp4"


def call(capsys, *arguments):
    """Return exit code, standard output, and standard error without what is logged."""
    try:
        code = cli.main([str(part) for part in arguments])
    except SystemExit as left:
        code = left.code
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys, *arguments):
    code, out, err = call(capsys, *arguments)
    assert (
        code == 2
        and out == ""
        and err.count("\n") == 1
        and err.startswith("error: ")
        and "Traceback" not in err
    )
    return err
