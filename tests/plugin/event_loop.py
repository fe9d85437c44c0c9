# SPDX-License-Identifier: BSD-3-Clause
"""How long a window's event loop is busy, measured from outside: the time it takes to answer _NET_WM_PING.

Window managers use this message to find programs that hang. Qt answers it from its event loop, so an answer that takes t ms
means that the loop did not run for about t ms: python event_loop.py DISPLAY WINDOW SECONDS prints the delays in ms.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from ctypes import byref, c_char_p, c_int, c_long, c_ulong, c_void_p

CLIENT_MESSAGE = 33
# Qt sends its answer to those who want to know about the root window itself, other toolkits about its children.
NOTIFY = (1 << 17) | (1 << 19)
INTERVAL = 0.005


class ClientMessage(ctypes.Structure):
    _fields_ = [
        ("type", c_int),
        ("serial", c_ulong),
        ("send_event", c_int),
        ("display", c_void_p),
        ("window", c_ulong),
        ("message_type", c_ulong),
        ("format", c_int),
        ("data", c_long * 5),
    ]


class Event(ctypes.Union):
    _fields_ = [("client", ClientMessage), ("pad", c_long * 24)]


def ping_delays(display: str, window: int, seconds: float) -> list[float]:
    """Delays in ms of all answers in that time; one ping is under way at a time."""
    x = ctypes.CDLL("libX11.so.6")
    x.XOpenDisplay.restype = c_void_p
    x.XOpenDisplay.argtypes = [c_char_p]
    x.XDefaultRootWindow.restype = c_ulong
    x.XDefaultRootWindow.argtypes = [c_void_p]
    x.XInternAtom.restype = c_ulong
    x.XInternAtom.argtypes = [c_void_p, c_char_p, c_int]
    x.XSelectInput.argtypes = [c_void_p, c_ulong, c_long]
    x.XSendEvent.argtypes = [c_void_p, c_ulong, c_int, c_long, c_void_p]
    x.XFlush.argtypes = [c_void_p]
    x.XPending.argtypes = [c_void_p]
    x.XNextEvent.argtypes = [c_void_p, c_void_p]
    connection = x.XOpenDisplay(display.encode())
    if not connection:
        raise RuntimeError(f"no display {display}")
    root = x.XDefaultRootWindow(connection)
    protocols = x.XInternAtom(connection, b"WM_PROTOCOLS", 0)
    ping = x.XInternAtom(connection, b"_NET_WM_PING", 0)
    x.XSelectInput(connection, root, NOTIFY)

    delays = []
    number = 1000
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number += 1
        event = Event()
        event.client = ClientMessage(CLIENT_MESSAGE, 0, 1, connection, window, protocols, 32)
        event.client.data[0], event.client.data[1], event.client.data[2] = ping, number, window
        sent = time.monotonic()
        x.XSendEvent(connection, window, 0, 0, byref(event))
        x.XFlush(connection)
        answered = False
        while not answered and time.monotonic() < sent + 30.0:
            while x.XPending(connection):
                x.XNextEvent(connection, byref(event))
                reply = event.client
                if reply.type == CLIENT_MESSAGE and reply.data[0] == ping and reply.data[1] == number:
                    answered = True
            if not answered:
                time.sleep(0.001)
        delays.append(1e3 * (time.monotonic() - sent))
        time.sleep(INTERVAL)
    return delays


if __name__ == "__main__":
    print(json.dumps(ping_delays(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
