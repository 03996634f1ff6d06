"""What the commands take by name, as text for help and for the command `list`."""

PROFILES = """profiles:
  quick  the embedded benchmark, small
  full   the embedded benchmark, larger
  paper  real data"""
TASKS = """tasks:
  binary            real or fake
  source_detection  real or which generator, over all data sets at once
  cross_dataset     trained on one data set, tested on another
  leave_one_out     every generator left out of the training in turn"""


def detectors_and_methods() -> str:
    """Return the detectors and methods that a command takes, one per line with what they are."""
    from deepfake_uncertainty.detectors import registry
    from deepfake_uncertainty.training import methods

    specs = [registry.get(name) for name in registry.names()]
    detectors = [
        f"  {spec.name:20} {spec.label} ({spec.kind}; frames per input: {spec.window})"
        for spec in specs
    ]
    ways = [f"  {name:20} {methods.get(name).label}" for name in methods.names()]
    return "\n".join(["detectors:", *detectors, "methods:", *ways])


def shipped_networks() -> str:
    """Return the networks whose weights ship with the library, one per line."""
    from deepfake_uncertainty.signals import shipped_networks as shipped

    return "networks:\n" + "\n".join(f"  {name}" for name in shipped.names())
