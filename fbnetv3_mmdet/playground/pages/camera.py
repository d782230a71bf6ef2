"""The camera of the browser: its frames go the way of uploaded pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nicegui import ui

SCRIPT = Path(__file__).with_name('camera.js').read_text()
PATIENCE = 120  # seconds, in which the user may allow it


class Camera:
    """A button, and while the camera is on, what it sees.

    Args:
        uploader: Is given the pictures that are taken.
        told: Is given a line where something is wrong.
    """

    def __init__(self, uploader: ui.upload, told: Callable[[str], None]):
        self._uploader, self._told = uploader, told
        self._is_on = False

    def build(self) -> None:
        """Make the elements."""
        ui.add_body_html(f'<script>{SCRIPT}</script>')
        self._switch = ui.button('Use the camera', on_click=self._turn)
        self._switch.props('outline no-caps')
        self._take = ui.button('Take a picture', on_click=self._shoot)
        self._take.props('no-caps')
        self._video = ui.element('video').classes('camera')
        self._video.props('muted playsinline aria-label="The camera"')
        self._show()

    def _show(self) -> None:
        self._switch.text = 'Camera off' if self._is_on else 'Use the camera'
        for element in (self._take, self._video):
            element.set_visibility(self._is_on)

    async def _turn(self) -> None:
        video = f'getHtmlElement({self._video.id})'
        if self._is_on:
            ui.run_javascript(f'camera.stop({video})')
        elif wrong := await ui.run_javascript(
            f'return await camera.start({video})', timeout=PATIENCE
        ):
            self._told(f'No camera: {wrong}.')
            return
        self._is_on = not self._is_on
        self._show()

    async def _shoot(self) -> None:
        video = f'getHtmlElement({self._video.id})'
        uploader = f'getElement({self._uploader.id}).$refs.qRef'
        wrong = await ui.run_javascript(
            f'return await camera.take({video}, {uploader})', timeout=PATIENCE
        )
        if wrong:
            self._told(f'No picture: {wrong}.')
