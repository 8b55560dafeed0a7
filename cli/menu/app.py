"""The menu as an application: the home screen, and everything opened from it."""

from __future__ import annotations

from cli.menu.home import Home
from cli.monit.app import LiveApp


class Menu(LiveApp):
    """`zapvisor menu`."""

    def begin(self) -> None:
        self.push_screen(Home())
