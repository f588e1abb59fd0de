"""Nothing that runs here is reported anywhere."""

import os
import sys

SWITCH = "ORT_DISABLE_TELEMETRY"


def refuse_telemetry() -> None:
    """Keep onnxruntime from reporting its use; call this before it is imported.

    Its builds for Linux, from 1.29 on, open a database and a device's identity in the user's home and send what they
    ran to their maker unless SWITCH is set when they load. Loaded already, it can still be told to send nothing.
    A value that the user gave SWITCH stays.
    """
    os.environ.setdefault(SWITCH, "1")
    loaded = sys.modules.get("onnxruntime")
    if loaded is not None and os.environ[SWITCH] == "1":
        loaded.disable_telemetry_events()
