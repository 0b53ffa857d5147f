#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which bus sparkctl takes where nobody said: two private buses, real sparkds. test-buses.py SPARKCTL SPARKD WORKER"""
import json, os, signal, subprocess, sys, tempfile, time

from tap import case, check, environment, run, run_cases

SPARKCTL, SPARKD, WORKER = sys.argv[1:]
TMP = tempfile.TemporaryDirectory(prefix="spark-buses-")
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
<servicedir>{services}</servicedir></busconfig>"""


class Bus:
    """A bus; "activatable": a call would start a sparkd there, which leaves a mark and ends."""

    def __init__(self, name, *activatable):
        self.folder = tempfile.mkdtemp(dir=TMP.name, prefix=name)
        self.mark = os.path.join(self.folder, "mark-")
        services, config = os.path.join(self.folder, "services"), os.path.join(self.folder, "config")
        os.mkdir(services)
        for service in activatable:
            with open(os.path.join(services, service + ".service"), "w") as f:
                f.write(f"[D-BUS Service]\nName={service}\nExec=/bin/sh -c 'touch {self.mark}{service}; exit 1'\n")
        path = os.path.join(self.folder, "bus")
        with open(config, "w") as f:
            f.write(BUS.format(path=path, services=services))
        self.address = "unix:path=" + path
        self.process = subprocess.Popen(["dbus-daemon", "--config-file", config, "--nofork", "--nopidfile", "--print-address"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.process.stdout.readline()
        self.sparkd = None

    def run_sparkd(self, mode):
        variable = "DBUS_SESSION_BUS_ADDRESS" if mode == "--user" else "DBUS_SYSTEM_BUS_ADDRESS"
        e = {**environment(), variable: self.address, "SPARK_MODELS_DIR": self.folder, "XDG_STATE_HOME": self.folder,
             "STATE_DIRECTORY": self.folder}
        self.sparkd = subprocess.Popen([SPARKD, mode, "--config", "/dev/null", "--rules", self.folder, "--worker", WORKER], env=e,
                                       stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while subprocess.run(["busctl", "--address=" + self.address, "status", "org.spark.Assistant"], capture_output=True).returncode:
            check(time.monotonic() < end and self.sparkd.poll() is None, "sparkd does not start")
            time.sleep(0.05)
        return self

    def was_asked(self, service="org.spark.Assistant"):
        return os.path.exists(self.mark + service)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in (self.sparkd, self.process):
            if p:
                p.terminate()
                p.wait()
        self.process.stdout.close()


def status(session, system, *options):
    """The bus that `sparkctl status` says it took; None where it got no answer."""
    e = environment()
    if session:
        e["DBUS_SESSION_BUS_ADDRESS"] = session.address
    if system:
        e["DBUS_SYSTEM_BUS_ADDRESS"] = system.address
    r = run([SPARKCTL, "status", "--json", *options], env=e)
    return json.loads(r.stdout).get("bus") if r.stdout else None


SPARK = "org.spark.Assistant"


@case("the one that runs, on the session bus or on the system bus")
def _():
    with Bus("session", SPARK) as a, Bus("system", SPARK) as b:
        a.run_sparkd("--user")
        check(status(a, b) == "session")
        b.run_sparkd("--system")
        check(status(a, b) == "session", "one's own comes first where both run")
        check(status(a, b, "--system") == "system")
    with Bus("session", SPARK) as a, Bus("system", SPARK) as b:
        b.run_sparkd("--system")
        check(status(a, b) == "system" and not a.was_asked())
        check(status(a, b, "--user") is None and a.was_asked())


@case("where none runs: the machine's, if it can be started, else one's own")
def _():
    with Bus("session", SPARK) as a, Bus("system", SPARK) as b:
        check(status(a, b) is None and b.was_asked() and not a.was_asked())
    with Bus("session", SPARK) as a, Bus("system") as b:
        check(status(a, b) is None and a.was_asked())
    with Bus("session", SPARK) as a:
        check(status(a, None) is None and a.was_asked())


@case("the session bus is asked for the agent before a question, not for the status")
def _():
    agent = "org.spark.Assistant.Agent"
    with Bus("session", agent) as a, Bus("system") as b:
        b.run_sparkd("--system")
        e = {**environment(), "DBUS_SESSION_BUS_ADDRESS": a.address, "DBUS_SYSTEM_BUS_ADDRESS": b.address}
        run([SPARKCTL, "status"], env=e)
        check(not a.was_asked(agent))
        with open(os.path.join(b.folder, "ask.conf"), "w") as f:
            f.write("[App *]\nAsk=generate\n[Unknown]\nAsk=generate\n")
        b.sparkd.send_signal(signal.SIGHUP)
        r = run([SPARKCTL, "ask", "Hello"], env=e)
        check(a.was_asked(agent), r.stderr)
        check(r.returncode in (3, 4), r.stderr)          # no model, nobody to ask: it depends on what is found first


try:
    run_cases()
finally:
    TMP.cleanup()
