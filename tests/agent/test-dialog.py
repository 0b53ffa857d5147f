#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""spark-agent-dialog on a display of its own (Xvfb), with keys pressed by xdotool: test-dialog.py DIALOG [PICTURE.png]."""
import os, shutil, signal, struct, subprocess, sys, tempfile, time, zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from tap import case, check, run_cases

DIALOG = sys.argv[1]
WORDS = ("May \u201cNotes\u201d listen through the microphone and get the words?\n"
         "It is org.example.Notes, a Flatpak application, process 4711.\n"
         "Known by its sandbox: no other application can pass for it.\n")
SETTLE = 0.7                                 # until what allows something reacts; see dialog.c


class Display:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="spark-display-")
        r, w = os.pipe()
        self.server = subprocess.Popen(["Xvfb", "-displayfd", str(w), "-screen", "0", "800x600x24", "-fbdir", self.folder,
                                        "-nolisten", "tcp", "-noreset"], pass_fds=[w], stderr=subprocess.DEVNULL)
        os.close(w)
        with os.fdopen(r) as f:
            self.name = ":" + f.readline().strip()
        # No accessibility bus and no settings of the person's.
        self.env = {**os.environ, "DISPLAY": self.name, "GDK_BACKEND": "x11", "GTK_A11Y": "none", "GSETTINGS_BACKEND": "memory",
                    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent", "HOME": self.folder, "XDG_RUNTIME_DIR": self.folder}
        self.env.pop("WAYLAND_DISPLAY", None)
        # fontconfig keeps its cache to the end; what we allocate is looked at.
        leaks = os.path.join(self.folder, "leaks")
        with open(leaks, "w") as f:
            f.write("leak:libfontconfig\n")
        self.env["LSAN_OPTIONS"] = "suppressions=" + leaks + ":print_suppressions=0"

    def xdotool(self, *argv):
        return subprocess.run(["xdotool", *argv], env=self.env, capture_output=True, text=True)

    def picture(self, path):
        """The screen as a PNG (from the XWD file that Xvfb keeps)."""
        with open(os.path.join(self.folder, "Xvfb_screen0"), "rb") as f:
            data = f.read()
        h = struct.unpack(">25I", data[:100])
        size, width, height, line, colours = h[0], h[4], h[5], h[12], h[19]
        at = size + 12 * colours
        rows = bytearray()
        for y in range(height):
            row = data[at + y * line:at + y * line + width * 4]
            rows += b"\0" + b"".join(row[x + 2:x + 3] + row[x + 1:x + 2] + row[x:x + 1] for x in range(0, width * 4, 4))

        def chunk(kind, body):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        with open(path, "wb") as f:
            f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)) +
                    chunk(b"IDAT", zlib.compress(bytes(rows))) + chunk(b"IEND", b""))

    def close(self):
        self.server.terminate()
        self.server.wait()
        shutil.rmtree(self.folder)


class Dialog:
    def __init__(self, words=WORDS, env=None):
        self.process = subprocess.Popen([DIALOG], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        env=env or display.env, text=True)
        self.process.stdin.write(words)
        self.process.stdin.close()

    def shown(self):
        """Waits for its window, and gives it the keyboard (there is no window manager that would)."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            windows = display.xdotool("search", "--onlyvisible", "--name", "^Spark$").stdout.split()
            if windows:
                display.xdotool("windowfocus", "--sync", windows[0])
                return self
            check(self.process.poll() is None, f"it ended with {self.process.returncode}")
            time.sleep(0.05)
        check(False, "no window")

    def keys(self, *keys):
        display.xdotool("key", *keys)
        return self

    def answer(self):
        said = self.process.stdout.read()
        return said.strip(), self.process.wait(30)


def settled():
    time.sleep(SETTLE + 0.5)


@case("Enter on what has the keyboard first denies, as do Escape and the letter")
def _():
    for key in ("Return", "Escape", "alt+d"):
        said = Dialog().shown().keys(key).answer()
        check(said == ("deny", 0), f"{key}: {said}")


@case("each answer by its letter")
def _():
    for key, name in (("o", "once"), ("s", "session"), ("a", "always"), ("n", "never")):
        d = Dialog().shown()
        settled()
        said = d.keys("alt+" + key).answer()
        check(said == (name, 0), f"{key}: {said}")


@case("the second button with Tab and Enter")
def _():
    d = Dialog().shown()
    settled()
    check(d.keys("Tab", "Return").answer() == ("once", 0))


@case("SIGTERM takes it away, without an answer")
def _():
    d = Dialog().shown()
    d.process.send_signal(signal.SIGTERM)
    check(d.answer() == ("", 1))


@case("markup is shown as it is, a very long question still fits")
def _():
    d = Dialog("May \u201c<b>Bold</b>&amp;\u201d ask the assistant?\n<a href='x'>click</a> & so\n" + "word " * 120 + "\n").shown()
    if len(sys.argv) > 2:
        settled()
        display.picture(sys.argv[2].replace(".png", "-long.png"))
    check(d.keys("Escape").answer() == ("deny", 0))


@case("without a display, or without words, it says nothing")
def _():
    none = {k: v for k, v in display.env.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    check(Dialog(env=none).answer() == ("", 1))
    check(Dialog(words="").answer() == ("", 2))


if len(sys.argv) > 2:
    @case("a picture")
    def _():
        d = Dialog().shown()
        settled()
        display.picture(sys.argv[2])
        d.keys("Escape").answer()

if not shutil.which("Xvfb") or not shutil.which("xdotool"):
    print("1..0 # SKIP there is no Xvfb or no xdotool")
    sys.exit(0)
display = Display()
try:
    run_cases()
finally:
    display.close()
