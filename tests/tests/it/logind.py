"""A logind for a test: a bus of its own at the place of the system's, with python-dbusmock's
logind on it. Takes one command a line on stdin, and answers each by one line on stdout.
usage: logind.py DIRECTORY"""

import os
import subprocess
import sys
import time

import dbus
import dbus.lowlevel

SOCKET = "/run/dbus/system_bus_socket"
# Where the bus listens until there is on it what the agent should find.
HIDDEN = "/run/dbus/hidden"
RECORDS = "/run/systemd/sessions"
LOGIND = "org.freedesktop.login1"
MANAGER = "/org/freedesktop/login1"
SESSION = MANAGER + "/session/c1"
MOCK = "org.freedesktop.DBus.Mock"
CONFIG = f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={HIDDEN}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


class Logind:
    def __init__(self, directory):
        self.config = os.path.join(directory, "bus.conf")
        with open(self.config, "w") as file:
            file.write(CONFIG)
        self.started = []

    def start(self):
        """The bus, then logind without a session. Nobody else finds them yet."""
        os.makedirs(RECORDS, exist_ok=True)
        self.run(["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={self.config}"])
        self.bus = until(lambda: dbus.bus.BusConnection(f"unix:path={HIDDEN}"))
        self.start_logind()

    def start_logind(self):
        self.run([sys.executable, "-m", "dbusmock", "--system", "--template", "logind"])
        until(lambda: self.bus.get_name_owner(LOGIND))

    def run(self, command):
        environment = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=f"unix:path={HIDDEN}")
        self.started.append(subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))

    def stop(self):
        for process in reversed(self.started):
            process.kill()
            process.wait()
        self.started = []
        for path in (HIDDEN, SOCKET):
            if os.path.lexists(path):
                os.remove(path)

    def at(self, path, interface):
        return dbus.Interface(self.bus.get_object(LOGIND, path, introspect=False), interface)

    def emit(self, name, signature, *arguments):
        self.at(MANAGER, MOCK).EmitSignal(LOGIND + ".Manager", name, signature, arguments)

    def add(self, name, uid):
        self.at(MANAGER, MOCK).AddSession(name, "seat0", dbus.UInt32(uid), "someone", True)
        path = dbus.ObjectPath(f"{MANAGER}/session/{name}")
        self.emit("SessionNew", "so", name, path)

    def remove(self, name):
        path = dbus.ObjectPath(f"{MANAGER}/session/{name}")
        self.at(MANAGER, MOCK).RemoveObject(path)
        self.emit("SessionRemoved", "so", name, path)

    def close(self, name):
        """Its human is gone, but something in it still runs. logind emits nothing at that, but
        writes it down: a name that is not watched, then a rename."""
        session = self.at(f"{MANAGER}/session/{name}", MOCK)
        session.UpdateProperties(LOGIND + ".Session", {"State": "closing"})
        with open(f"{RECORDS}/.#{name}", "w") as file:
            file.write("STATE=closing\n")
        os.rename(f"{RECORDS}/.#{name}", f"{RECORDS}/{name}")

    def do(self, command, *arguments):
        if command == "start":
            self.start()
        elif command == "show":
            os.symlink(HIDDEN, SOCKET)
        elif command == "restart":
            logind = self.started.pop()
            logind.kill()
            logind.wait()
            self.start_logind()
        elif command == "connections":
            names = [name for name in self.bus.list_names() if name.startswith(":")]
            return str(len(names) - 2)  # this one's and logind's
        elif command == "stop":
            self.stop()
        elif command == "sleep":
            self.emit("PrepareForSleep", "b", arguments[0] == "true")
        elif command == "lock":
            self.at(MANAGER + "/session/" + arguments[0], LOGIND + ".Session").Lock()
        elif command == "hint":
            session = self.at(MANAGER + "/session/" + arguments[0], LOGIND + ".Session")
            session.SetLockedHint(arguments[1] == "true")
        elif command == "add":
            self.add(arguments[0], int(arguments[1]))
        elif command == "remove":
            self.remove(arguments[0])
        elif command == "close":
            self.close(arguments[0])
        elif command == "forge":
            # Whoever is on the bus may send this to whom it likes.
            signal = dbus.lowlevel.SignalMessage(MANAGER, LOGIND + ".Manager", "PrepareForSleep")
            signal.append(True)
            own = {LOGIND, self.bus.get_unique_name(), self.bus.get_name_owner(LOGIND)}
            for name in self.bus.list_names():
                if name.startswith(":") and name not in own:
                    signal.set_destination(name)
                    self.bus.send_message(signal)
            self.bus.flush()
        elif command == "held":
            held = self.at(MANAGER, LOGIND + ".Manager").ListInhibitors()
            return " ".join(f"{what}/{who}/{mode}" for what, who, _, mode, _, _ in held)
        else:
            raise ValueError(command)
        return "done"


def until(look):
    end = time.monotonic() + 60
    while True:
        try:
            return look()
        except dbus.exceptions.DBusException:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


logind = Logind(sys.argv[1])
for line in sys.stdin:
    print(logind.do(*line.split()), flush=True)
logind.stop()
