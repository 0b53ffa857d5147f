# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cases of test-boot: consent on a real system. The machine's sparkd asks on the terminal of the login session that wants
something, or through spark-agent, which the session bus starts; and nobody else."""
import os, select, subprocess, time

from tap import case, check

RULES = "/etc/spark/policy.d/70-consent.conf"
ASK = "sparkctl ask --max-tokens 4 --temperature 0 Hello"
QUESTION = "within 60 seconds: "
# A terminal inside the login session: its own pseudo-terminal, with what we write as its keys.
TERMINAL = "script -qfec {} /dev/null"


def well(result):
    status, said = result
    check(status == 0, f"exit status {status}: {said}")
    return said


class Shell:
    """A script in a login session of a user's, to talk to."""

    def __init__(self, m, user, script):
        self.process = subprocess.Popen(m.as_user_argv(user, script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.said = ""

    def until(self, text, seconds=60):
        end = time.monotonic() + seconds
        while text not in self.said:
            left = end - time.monotonic()
            check(left > 0, f"waited in vain for {text!r}: {self.said}")
            if select.select([self.process.stdout], [], [], left)[0]:
                block = os.read(self.process.stdout.fileno(), 4096)
                check(block, f"it ended without {text!r}: {self.said}")
                self.said += block.decode(errors="replace")
        return self

    def type(self, keys):
        self.process.stdin.write(keys.encode())
        self.process.stdin.flush()
        return self

    def end(self):
        self.said += self.process.communicate(timeout=120)[0].decode(errors="replace")
        return self.process.returncode


def cases(m, tools):
    """`tools`: where the stand-in for a notification server was built."""
    subprocess.run(["cp", os.path.join(tools, "notification-stand-in"), os.path.join(m.root, "srv")], check=True)

    @case("without a terminal and without a desktop nobody is asked, and the error says what to do")
    def _():
        well(m(f"mkdir -p {os.path.dirname(RULES)}; printf '[Unknown]\\nAsk=generate\\n[App *]\\nAsk=generate\\n' >{RULES}; systemctl restart sparkd.service"))
        status, said = m.as_user("alice", ASK)
        check(status == 4 and "Not allowed" in said and "sparkctl agent" in said and RULES in said, f"{status}: {said}")

    @case("an ordinary user's question on a terminal is asked there, and answered by its letter")
    def _():
        s = Shell(m, "alice", TERMINAL.format(f"'{ASK}'")).until(QUESTION)
        check("ask the assistant?" in s.said, s.said)
        check(s.type("o\n").end() == 0, s.said)
        s = Shell(m, "alice", TERMINAL.format(f"'{ASK}'")).until(QUESTION)
        check(s.type("d\n").end() == 4 and "Not allowed" in s.said, s.said)
        well(m("systemctl restart sparkd.service"))      # what was refused may be asked again

    @case("sparkctl agent answers for other programs of its login session, and for no other session or user")
    def _():
        bob = Shell(m, "bob", TERMINAL.format("'sparkctl agent'")).until("Questions will be asked here.")
        elsewhere = Shell(m, "alice", TERMINAL.format("'sparkctl agent'")).until("Questions will be asked here.")
        status, said = m.as_user("alice", ASK)
        check(status == 4 and "sparkctl agent" in said, f"{status}: {said}")
        # What a shell puts into the background reads nothing, unless it is told to.
        script = ("exec 3<&0; " + TERMINAL.format("'sparkctl agent'") + " <&3 & agent=$!; sleep 2; "
                  f"setsid -w {ASK} </dev/null; status=$?; kill $agent; exit $status")
        s = Shell(m, "alice", script).until(QUESTION)
        check(s.type("o\n").end() == 0, s.said)
        for other in (bob, elsewhere):
            other.type("\x03").end()
            check(QUESTION not in other.said, other.said)

    @case("in a desktop session spark-agent is started by the session bus, hardened, and asks by notification")
    def _():
        m.as_user("alice", "systemctl --user stop spark-agent.service")
        script = ("timeout 60 /srv/notification-stand-in session 1 >/tmp/shown & sleep 1; " + ASK + "; status=$?; wait; cat /tmp/shown; "
                  "systemctl --user show -P ActiveState -P NoNewPrivileges spark-agent.service; " + ASK + " && exit $status")
        said = well(m.as_user("alice", script))
        check("ask the assistant?" in said and "active\n" in said and "yes\n" in said, said)

    @case("a sparkd that has just been started waits a moment for the agent that runs")
    def _():
        script = ("timeout 60 /srv/notification-stand-in once 1 >/tmp/shown & sleep 1; systemctl --user start spark-agent.service; "
                  "exec busctl --system --timeout=120 call org.spark.Assistant /org/spark/Assistant org.spark.Assistant Ask 'sa{sv}' "
                  "Hello 1 max-tokens u 4")
        well(m("systemctl stop sparkd.service"))
        well(m.as_user("alice", script))

    @case("consent is over with the rule")
    def _():
        well(m(f"rm {RULES} /srv/notification-stand-in; systemctl restart sparkd.service; rm -f /tmp/shown"))
