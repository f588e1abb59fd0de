"""The command between a shell's streams and signals, as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_bundle import write_bundle

from fewstep.cli.terminal import interruptible

CODE = "import sys; from fewstep.cli.main import main; sys.exit(main())"
COMMAND = [sys.executable, "-c", CODE]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "small")


def shell(line: str, folder: Path, cwd: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of bash in which "$@" is the command fewstep and $M the bundle."""
    argv = ["bash", "-c", line, "bash", *COMMAND]
    environment = os.environ | {"M": str(folder)} | variables
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("flags", ["--help", "--version", "inspect $M", "generate -m $M -o a.png --json"])
def test_a_full_standard_output_is_an_error(folder: Path, tmp_path: Path, flags: str, unbuffered: str) -> None:
    done = shell(f'"$@" {flags} > /dev/full', folder, tmp_path, PYTHONUNBUFFERED=unbuffered)
    message = "fewstep: error: cannot write standard output: No space left on device\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)


@pytest.mark.parametrize(
    ("flags", "code"), [("-m $M -o a.png -p 'odd planet'", 0), ("-n 0", 2)], ids=["made", "refused"]
)
@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams_change_no_exit_code_and_no_picture(
    folder: Path, tmp_path: Path, flags: str, code: int, streams: str
) -> None:
    done = shell(f'"$@" generate {flags} {streams}', folder, tmp_path)
    assert done.returncode == code
    assert "fewstep: " not in done.stdout
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(files) == ([] if code else ["a.png"])
    assert all(data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB\x60\x82") for data in files.values())


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "utf-8"])
def test_what_an_encoding_cannot_say_is_escaped(folder: Path, tmp_path: Path, encoding: str) -> None:
    line = "\"$@\" generate -m $M -p 'gr\u00fcn planet' -o '\u2603.png'"
    done = shell(line, folder, tmp_path, PYTHONIOENCODING=encoding, PYTHONUTF8="1")
    assert done.returncode == 0 and [path.name for path in tmp_path.iterdir()] == ["\u2603.png"]
    assert done.stdout.startswith("\u2603.png: " if encoding == "utf-8" else "\\u2603.png: ")


def test_a_name_cannot_move_the_terminal(folder: Path, tmp_path: Path) -> None:
    done = shell("\"$@\" generate -m $M -o $'a\\n\\e[31m\\u202eb  c.png'", folder, tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(r"a\n\x1b[31m\u202eb  c.png: small, ")
    assert [path.name for path in tmp_path.iterdir()] == ["a\n\x1b[31m\u202eb  c.png"]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda kind: kind.name)
def test_a_signal_leaves_no_trace(folder: Path, tmp_path: Path, kind: signal.Signals) -> None:
    """Sent twice, as a shell and its group may, once temporary files are there."""
    argv = [*COMMAND, "generate", "-m", str(folder), "-n", "128", "--steps", "1", "--scale", "64", "-o", "a.png"]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.iterdir()) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(kind)
    process.send_signal(kind)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, out, errors) == (130, "", "fewstep: error: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_in_the_home(folder: Path, tmp_path: Path) -> None:
    """onnxruntime's telemetry keeps a database there, if it is let."""
    home = tmp_path / "home"
    home.mkdir()
    done = shell(
        'unset XDG_CACHE_HOME CI; "$@" generate -q -m $M -o a.png && "$@" doctor', folder, tmp_path, HOME=str(home)
    )
    assert done.returncode == 0 and done.stderr == ""
    assert list(home.rglob("*")) == []


def test_a_second_signal_is_ignored_while_the_first_is_answered() -> None:
    def save() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), interruptible("SIGTERM"):
        save()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible("SIGINT"):
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
